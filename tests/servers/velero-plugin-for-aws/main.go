// Package servers pins Velero's plugin for S3 for the tests.
package servers

import _ "github.com/vmware-tanzu/velero-plugin-for-aws/velero-plugin-for-aws"
