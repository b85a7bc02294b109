// Package servers pins kube-controller-manager for the tests.
package servers

import _ "k8s.io/kubernetes/cmd/kube-controller-manager/app"
