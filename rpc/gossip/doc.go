// Package gossip tells a process which others of its cluster are alive. It wraps hashicorp/memberlist, an implementation of SWIM with the
// extensions of Lifeguard: every process probes others at random, and what it finds spreads by gossip.
//
// There is one member a process, named by the process id, with what others need to know about it as metadata ([Member]). The id of the
// cluster is memberlist's label: packets and streams of other clusters are refused here, and both sides are told why ([Listener]).
//
// What gossip says is a hint: no member proves who it is, and a live process can be taken for dead. Package node asks before it acts.
// This package knows nothing of the ring, nor how the first other process is found.
package gossip
