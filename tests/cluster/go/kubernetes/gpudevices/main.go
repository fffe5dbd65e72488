// Command gpudevices offers GPUs that are not there to the kubelet, as a vendor's device plugin would.
//
// A file names the indexes of those that are unhealthy just now; a container that gets some finds their ids in NVIDIA_VISIBLE_DEVICES.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	plugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const pollInterval = 200 * time.Millisecond

type devices struct {
	plugin.UnimplementedDevicePluginServer
	count         int
	unhealthyFile string
}

func id(index int) string {
	return fmt.Sprintf("GPU-00000000-0000-4000-8000-%012d", index)
}

func (d *devices) list() []*plugin.Device {
	text, _ := os.ReadFile(d.unhealthyFile)
	unhealthy := map[string]bool{}
	for _, word := range strings.Fields(string(text)) {
		unhealthy[word] = true
	}
	all := make([]*plugin.Device, d.count)
	for index := range all {
		health := plugin.Healthy
		if unhealthy[strconv.Itoa(index)] {
			health = plugin.Unhealthy
		}
		all[index] = &plugin.Device{ID: id(index), Health: health}
	}
	return all
}

func (d *devices) GetDevicePluginOptions(context.Context, *plugin.Empty) (*plugin.DevicePluginOptions, error) {
	return &plugin.DevicePluginOptions{}, nil
}

func (d *devices) ListAndWatch(_ *plugin.Empty, stream grpc.ServerStreamingServer[plugin.ListAndWatchResponse]) error {
	last := ""
	for stream.Context().Err() == nil {
		now := d.list()
		if text := fmt.Sprint(now); text != last {
			last = text
			if err := stream.Send(&plugin.ListAndWatchResponse{Devices: now}); err != nil {
				return err
			}
		}
		time.Sleep(pollInterval)
	}
	return nil
}

func (d *devices) Allocate(_ context.Context, request *plugin.AllocateRequest) (*plugin.AllocateResponse, error) {
	response := &plugin.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &plugin.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")},
		})
	}
	return response, nil
}

func register(resource, endpoint string) error {
	connection, err := grpc.NewClient("unix://"+plugin.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err = plugin.NewRegistrationClient(connection).Register(ctx, &plugin.RegisterRequest{
		Version: plugin.Version, Endpoint: endpoint, ResourceName: resource,
	})
	return err
}

// serve offers the devices until the kubelet takes the socket away, which it does when it starts anew.
func serve(d *devices, resource, socket string) {
	os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Print(err)
		return
	}
	server := grpc.NewServer()
	defer server.Stop()
	plugin.RegisterDevicePluginServer(server, d)
	go server.Serve(listener)
	if err := register(resource, filepath.Base(socket)); err != nil {
		log.Print("not registered: ", err)
		return
	}
	log.Print("registered ", d.count, " of ", resource)
	for {
		if _, err := os.Stat(socket); err != nil {
			return
		}
		time.Sleep(pollInterval)
	}
}

func main() {
	resource := flag.String("resource", "nvidia.com/gpu", "resource name")
	count := flag.Int("count", 4, "number of devices")
	unhealthy := flag.String("unhealthy-file", "", "file with the indexes of unhealthy devices")
	flag.Parse()
	socket := filepath.Join(plugin.DevicePluginPath, "aiplatform-"+strings.ReplaceAll(*resource, "/", "-")+".sock")
	for {
		serve(&devices{count: *count, unhealthyFile: *unhealthy}, *resource, socket)
		time.Sleep(pollInterval)
	}
}
