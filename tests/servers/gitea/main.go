// Package servers pins Gitea for the tests.
package servers

import _ "code.gitea.io/gitea/cmd"
