//go:build tools

// Package tools names the manager of Kueue that tests of its queue build.
package tools

import _ "sigs.k8s.io/kueue/cmd/kueue"
