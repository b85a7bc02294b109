// Package servers pins etcd, the API server's store, for the tests.
package servers

import _ "go.etcd.io/etcd/server/v3/etcdmain"
