package node

import "context"

func channels(ctx context.Context, c chan int) { // want "a channel type is banned in node, use Runtime.Go or Runtime.Gather (rule 1)"
	c <- 1        // want "sending on a channel is banned in node, use Runtime.Go or Runtime.Gather (rule 1)"
	<-c           // want "receiving from a channel is banned in node, use Runtime.Go or Runtime.Gather (rule 1)"
	for range c { // want "range over a channel is banned in node, use Runtime.Go or Runtime.Gather (rule 1)"
	}
	select {} // want "select is banned in node, use Runtime.Go or Runtime.Gather (rule 1)"
}

func waits(ctx context.Context) bool {
	return ctx.Done() == nil // want "Context.Done is banned in node, use Context.Err (rule 10)"
}
