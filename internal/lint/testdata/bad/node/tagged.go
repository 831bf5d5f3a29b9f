//go:build invariants

package node

import "time"

var since = time.Since // want "time.Since is banned in node, use Runtime.Now (rule 2)"
