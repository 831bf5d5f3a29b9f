// Package sim runs the shipped code of package node in virtual time: any number of processes, on simulated machines with disks and clocks, over
// a simulated network, in one program and reproducible from a seed.
//
// A [World] is one simulation. It has one queue of events and one virtual clock, and all that it runs, it runs one at a time: processes are
// node.Process values whose Peers, Runtime and Store are the simulator's. Where the node's code waits, the task that runs it is suspended (a
// coroutine), and the event that ends the wait resumes it; what never waits runs inside the event loop. Nothing is suspended
// between periods: a timer is an event. Every executed event is a [Step], and all of them together are the run's checksum: two runs with
// the same options and the same harness have the same one, on any machine.
//
// The harness, which is the program around a World, makes hosts ([World.AddHost], [World.Bootstrap]), does things to them ([Host.Crash],
// [Host.Pause], [Net.Partition] and so on) and lets time pass ([World.Run]). It may do so from outside, between two calls of Run, or as tasks
// of its own inside ([World.Go], [World.At]), which may wait: [World.Sleep], [Host.Call], [Host.Join]. A method of node.Process that
// waits for other processes must be called on a task of its host: inside [Host.Go] or [Host.Call], which end if the host crashes.
//
// A World and everything that belongs to it must be used by one goroutine at a time. Worlds share nothing: as many as there are processors
// may run side by side.
package sim
