// Package servers pins Velero for the tests.
package servers

import _ "github.com/vmware-tanzu/velero/cmd/velero"
