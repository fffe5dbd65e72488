//go:build tools

// Package tools names the command of KWOK that benchmarks build.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
