// Package servers pins kube-apiserver and kubectl for the tests.
package servers

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver/app"
	_ "k8s.io/kubectl/pkg/cmd"
)
