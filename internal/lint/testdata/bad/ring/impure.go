package ring

import (
	"sync" // want "sync is banned in ring, use an argument that the caller passes (rule 4)"
	"time" // want "time is banned in ring, use an argument that the caller passes (rule 4)"

	"example.com/bad/node/store" // want "node/store is banned in ring, use what stands left of it in ring <- node <- {rpc, sim} <- cmd (rule 4)"
)

// Tasks starts and waits for what it should leave to others.
func Tasks(deadline time.Time) {
	var wg sync.WaitGroup            // want "sync.WaitGroup is banned in ring, use Runtime.Go or Runtime.Gather (rule 1)"
	c := sync.NewCond(&sync.Mutex{}) // want "sync.NewCond is banned in ring, use Runtime.Go or Runtime.Gather (rule 1)"
	go c.Broadcast()                 // want "the go statement is banned in ring, use Runtime.Go or Runtime.Gather (rule 1)"
	wg.Wait()
	store.Open()
	_ = deadline
}
