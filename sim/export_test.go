package sim

import "github.com/chordkv/chord/node"

// Peers returns how the processes of a host call others.
func (h *Host) Peers() node.Peers { return hostPeers{h} }

// Runtime returns the time, chance and tasks of the processes of a host.
func (h *Host) Runtime() node.Runtime { return hostRuntime{h} }
