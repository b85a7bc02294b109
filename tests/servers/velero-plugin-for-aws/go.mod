module couchestor.test/servers/velero-plugin-for-aws

go 1.25.7

require github.com/vmware-tanzu/velero-plugin-for-aws v1.14.2
