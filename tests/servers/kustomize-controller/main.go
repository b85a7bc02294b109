// Package servers pins Flux's kustomize-controller for the tests.
package servers

import _ "github.com/fluxcd/kustomize-controller"
