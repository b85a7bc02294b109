module couchestor.test/servers/flux-kinds

go 1.26.0

// Nothing of these is compiled: the tests read the kinds that they define.
require (
	github.com/fluxcd/helm-controller v1.6.3
	github.com/fluxcd/source-controller v1.9.5
)
