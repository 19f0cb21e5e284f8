//go:build tools

// Package tools pins helm's command: `go mod tidy` keeps what it needs in go.sum.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
