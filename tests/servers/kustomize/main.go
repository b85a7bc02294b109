// Package servers pins the kustomize command for the tests.
package servers

import (
	_ "sigs.k8s.io/kustomize/kustomize/v5/commands"
)
