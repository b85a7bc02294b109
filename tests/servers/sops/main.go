// Package servers pins the sops command and age-keygen for the tests.
package servers

import (
	_ "filippo.io/age"
	_ "github.com/getsops/sops/v3"
)
