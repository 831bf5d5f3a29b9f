// Package cli is about commands, and knows nothing of rings.
package cli

import _ "example.com/bad/ring" // want "ring is banned in internal/cli, use what stands left of it in ring <- node <- {rpc, sim} <- cmd (rule 4)"
