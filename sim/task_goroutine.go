package sim

import "runtime"

// goroutine is a strand that is one goroutine of two that hand over to each other.
type goroutine struct {
	body      func()
	in        chan bool     // go on, or end
	out       chan struct{} // it is the other's turn
	begun     bool
	ended     bool
	abandoned bool // it ended by runtime.Goexit, as by testing.T.FailNow
}

func newGoroutine(body func()) *goroutine {
	return &goroutine{body: body, in: make(chan bool), out: make(chan struct{})}
}

func (g *goroutine) resume() {
	if g.begun {
		g.in <- true
	} else {
		g.begun = true
		go g.run()
	}
	<-g.out
	if g.abandoned {
		runtime.Goexit() // as iter.Pull does
	}
}

func (g *goroutine) run() {
	g.abandoned = true
	defer func() {
		g.ended = true
		g.out <- struct{}{}
	}()
	g.body()
	g.abandoned = false
}

func (g *goroutine) suspend() bool {
	g.abandoned = false
	g.out <- struct{}{}
	ok := <-g.in
	g.abandoned = true
	return ok
}

func (g *goroutine) end() {
	if g.begun && !g.ended {
		g.in <- false
		<-g.out
	}
}
