package main

import (
	"context"
	"errors"
	"os"
	"time"
)

// errInterrupted ends the program when a second signal asks to stop at once.
var errInterrupted = errors.New("stopped at once by a second signal: clients were cut off; acknowledged writes are safe under --sync always")

// echoTime is how soon after the first signal another one is the same wish, delivered twice: timeout(1) signals its child, and then the
// group that the child is in.
const echoTime = 100 * time.Millisecond

// patience turns signals into two contexts: stop ends with the first, when there is time for a graceful stop; now ends with the second.
// Both end with parent. release ends the goroutine behind them.
func patience(parent context.Context, signals <-chan os.Signal) (stop, now context.Context, release func()) {
	stop, cancelStop := context.WithCancelCause(parent)
	now, cancelNow := context.WithCancelCause(parent)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case sig := <-signals:
			cancelStop(signaled{sig})
		case <-done:
			return
		}
		for first := time.Now(); ; {
			select {
			case <-signals:
				if time.Since(first) > echoTime {
					cancelNow(errInterrupted)
					return
				}
			case <-done:
				return
			}
		}
	}()
	return stop, now, func() {
		close(done)
		<-ended
		cancelStop(nil)
		cancelNow(nil)
	}
}

// signaled is why a stop began.
type signaled struct{ signal os.Signal }

func (s signaled) Error() string { return s.signal.String() }
