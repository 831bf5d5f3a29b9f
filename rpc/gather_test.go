package rpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// fakeStream is a batchStream in the hands of a test.
type fakeStream struct {
	ctx context.Context
	out chan []uint64           // sequence numbers of each message; unbuffered: the other side does not read until the test does
	in  chan []*chordv1.OpReply // replies to deliver
	end chan error              // ends the stream
}

func (s *fakeStream) send(calls []opCall) error {
	seqs := make([]uint64, len(calls))
	for i, c := range calls {
		seqs[i] = c.GetSeq()
	}
	select {
	case s.out <- seqs:
		return nil
	case <-s.ctx.Done():
		return io.EOF
	}
}

func (s *fakeStream) recv() ([]*chordv1.OpReply, error) {
	select {
	case replies := <-s.in:
		return replies, nil
	case err := <-s.end:
		return nil, err
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (s *fakeStream) answer(seqs ...uint64) {
	replies := make([]*chordv1.OpReply, len(seqs))
	for i, seq := range seqs {
		replies[i] = &chordv1.OpReply{Seq: seq}
	}
	select {
	case s.in <- replies:
	case <-s.ctx.Done():
	}
}

// gathering is a gatherer whose streams go to the test.
type gathering struct {
	*kvGatherer
	streams chan *fakeStream
}

func newGathering() *gathering {
	g := &gathering{streams: make(chan *fakeStream, 10)}
	g.kvGatherer = newGatherer("peer", func(ctx context.Context) (batchStream[opCall, *chordv1.OpReply], error) {
		s := &fakeStream{ctx: ctx, out: make(chan []uint64), in: make(chan []*chordv1.OpReply), end: make(chan error)}
		g.streams <- s
		return s, nil
	})
	return g
}

// start makes n calls of so many bytes each; their errors go to the channel.
func (g *gathering) start(ctx context.Context, n, bytes int) chan error {
	results := make(chan error, n)
	for range n {
		go func() {
			_, err := g.call(ctx, opCall{&chordv1.OpCall{}}, bytes)
			results <- err
		}()
	}
	synctest.Wait()
	return results
}

func TestGatherFillsMessages(t *testing.T) {
	for _, c := range []struct {
		name         string
		calls, bytes int
		want         []int // calls in each message, after a first one with a single call
	}{
		{"small", 999, 10, []int{999}},
		{"many", 2500, 10, []int{1000, 1000, 500}},
		{"large", 7, 300 << 10, []int{3, 3, 1}},
		{"huge", 3, 3 << 20, []int{1, 1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGathering()
				defer g.close()
				first := g.start(t.Context(), 1, 1)
				s := <-g.streams
				rest := g.start(t.Context(), c.calls, c.bytes) // while the first message is under way
				s.answer(<-s.out...)
				for i, want := range c.want {
					seqs := <-s.out
					if len(seqs) != want {
						t.Errorf("message %d: got %d calls, want %d", i, len(seqs), want)
					}
					s.answer(seqs...)
				}
				for _, err := range []error{<-first, drain(rest, c.calls)} {
					if err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

func drain(results chan error, n int) error {
	var errs []error
	for range n {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// TestGatherForgetsLateCalls: a call ends with its context, not with the stream; its reply, if it comes after all, is nobody's.

// TestGatherHoldsCallsOfABusyStream: while enough calls are on their way, further ones go together, when they are as many, or some have been answered,
// or they have waited long enough.
func TestGatherHoldsCallsOfABusyStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering()
		defer g.close()
		calls := func(n int) { g.start(t.Context(), n, 10) }
		calls(1)
		s := <-g.streams
		var sent []uint64
		read := func(what string, want int) {
			t.Helper()
			synctest.Wait()
			select {
			case seqs := <-s.out:
				sent = append(sent, seqs...)
				if len(seqs) != want {
					t.Errorf("%s: got a message of %d calls, want %d", what, len(seqs), want)
				}
			default:
				if want > 0 {
					t.Errorf("%s: got no message, want one of %d calls", what, want)
				}
			}
		}
		read("the first call", 1)
		for range promptCalls - 1 {
			calls(1)
			read("while few are on their way", 1)
		}
		calls(2)
		read("while many are on their way", 0)
		began := time.Now()
		time.Sleep(maxHold)
		read("after the longest wait", 2)
		if waited := time.Since(began); waited != maxHold {
			t.Errorf("it waited %v", waited)
		}
		calls(len(sent) - 1)
		read("one fewer than on their way", 0)
		calls(1)
		read("as many as on their way", len(sent))
		calls(1)
		read("one call", 0)
		s.answer(sent...)
		read("after all were answered", 1)
		time.Sleep(time.Hour) // the timer of a queue that is gone sends nothing
		read("nothing", 0)
	})
}

func TestGatherForgetsLateCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering()
		defer g.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		late := g.start(ctx, 1, 1)
		s := <-g.streams
		seqs := <-s.out
		began := time.Now()
		if err := <-late; !errors.Is(err, node.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNotSent) {
			t.Errorf("sent: got %v", err)
		}
		if got := time.Since(began); got != time.Second {
			t.Errorf("it took %v, want 1s", got)
		}
		if len(g.sent) != 0 {
			t.Errorf("%d calls are remembered, want none", len(g.sent))
		}
		s.answer(seqs...)
		next := g.start(t.Context(), 1, 1)
		s.answer(seqs...) // once more
		s.answer(<-s.out...)
		if err := <-next; err != nil {
			t.Errorf("next: %v", err)
		}
	})
}

// TestGatherPushesBack: when the peer does not read, the queue is bounded; calls that find no room wait, and end by their own deadlines; those
// that were not sent say so; and nothing that was given up is sent later.
func TestGatherPushesBack(t *testing.T) {
	for _, c := range []struct {
		name         string
		bytes, queue int
	}{
		{"calls", 10, maxQueuedCalls},
		{"bytes", 1 << 20, maxQueuedBytes >> 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGathering()
				defer g.close()
				first := g.start(t.Context(), 1, 1)
				s := <-g.streams // which does not read
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				stuck := g.start(ctx, c.queue+100, c.bytes)
				if got := len(g.queue); got != c.queue {
					t.Errorf("%d calls are queued, want %d", got, c.queue)
				}
				for range c.queue + 100 {
					if err := <-stuck; !errors.Is(err, ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("got %v, want not sent", err)
					}
				}
				waiting := g.start(t.Context(), 1, c.bytes)
				s.answer(<-s.out...)
				seqs := <-s.out
				if len(seqs) != 1 {
					t.Errorf("%d calls were sent after the peer came back, want 1", len(seqs))
				}
				s.answer(seqs...)
				if err := errors.Join(<-first, <-waiting); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestGatherStreamEnds: calls that were sent and calls that were not are told apart, and the next call opens a stream again.
func TestGatherStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering()
		defer g.close()
		sent := g.start(t.Context(), 1, 1)
		s := <-g.streams
		seqs := <-s.out
		blocked := g.start(t.Context(), 1, 1) // taken by the sender, which hangs in send: it may have gone out
		waiting := g.start(t.Context(), 3, 1)
		s.end <- io.EOF
		for _, err := range []error{<-sent, <-blocked} {
			if !errors.Is(err, node.ErrUnreachable) || errors.Is(err, ErrNotSent) || !MaybeApplied(err) {
				t.Errorf("sent: got %v", err)
			}
		}
		for range 3 {
			if err := <-waiting; !errors.Is(err, node.ErrUnreachable) || !errors.Is(err, ErrNotSent) || MaybeApplied(err) {
				t.Errorf("waiting: got %v", err)
			}
		}
		again := g.start(t.Context(), 1, 1)
		s = <-g.streams
		next := <-s.out
		if next[0] <= seqs[0] {
			t.Errorf("sequence number %d was used again", next[0])
		}
		s.answer(next...)
		if err := <-again; err != nil {
			t.Error(err)
		}
	})
}

// TestGatherUnderStress: streams that break all the time, contexts that end all the time: every call ends once, with its own reply or an error.
func TestGatherUnderStress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering()
		var peers sync.WaitGroup
		g.kvGatherer.open = func(ctx context.Context) (batchStream[opCall, *chordv1.OpReply], error) {
			s := &fakeStream{ctx: ctx, out: make(chan []uint64), in: make(chan []*chordv1.OpReply), end: make(chan error)}
			peers.Go(func() {
				for n := range 20 {
					select {
					case seqs := <-s.out:
						time.Sleep(time.Millisecond)
						if n%2 == 0 {
							peers.Go(func() { s.answer(seqs...) })
							continue
						}
						s.answer(seqs[:len(seqs)/2]...)
					case <-ctx.Done():
						return
					}
				}
				select {
				case s.end <- errors.New("broken"):
				case <-ctx.Done():
				}
			})
			return s, nil
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		answered := 0
		for i := range 50 {
			wg.Go(func() {
				for n := range 40 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+(i+n)%5)*time.Millisecond)
					call := opCall{&chordv1.OpCall{}}
					reply, err := g.call(ctx, call, 10)
					cancel()
					if err == nil {
						if reply.GetSeq() != call.GetSeq() {
							t.Errorf("got the reply to call %d, want %d", reply.GetSeq(), call.GetSeq())
						}
						mu.Lock()
						answered++
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		g.close()
		peers.Wait()
		if len(g.sent) != 0 || answered == 0 {
			t.Errorf("%d calls are still remembered, %d were answered", len(g.sent), answered)
		}
	})
}
