package sim

// Stats are counters of a World since its beginning, but for those that say otherwise.
type Stats struct {
	Steps    uint64         // executed
	Requests [Methods]Count // sent, by method
	Answers  [Methods]Count // sent, by method
	Timeouts [Methods]uint64
	Refused  uint64 // requests to a host whose process was not running
	Lost     uint64 // messages lost by chance
	Cut      uint64 // messages lost to partitions and blocks
	Silent   uint64 // messages that arrived at a machine that was down
	Repeated uint64 // requests that arrived twice

	Pending  int // now: events in the queue
	Tasks    int // now: tasks that wait
	MaxTasks int // the most that existed at a time
	Running  int // now: hosts whose process runs
}

// Count is a number of messages and their bytes.
type Count struct {
	Messages  uint64
	Bytes     uint64 // by the model of p2psim: 20 bytes for the message and 4 for each node named in it; and the bytes of keys and values
	Wired     uint64 // messages that went through Options.Wire
	WireBytes uint64 // their bytes on a real network
}

// Total returns the sum over all methods, requests and answers.
func (s *Stats) Total() Count {
	var sum Count
	for i := range Methods {
		for _, c := range [2]Count{s.Requests[i], s.Answers[i]} {
			sum.Messages += c.Messages
			sum.Bytes += c.Bytes
			sum.Wired += c.Wired
			sum.WireBytes += c.WireBytes
		}
	}
	return sum
}

// Stats returns the counters.
func (w *World) Stats() Stats {
	s := w.stats
	s.Pending = w.queue.len() + w.heldEvents
	s.Tasks = len(w.tasks) - len(w.idle)
	s.Running = w.running
	return s
}
