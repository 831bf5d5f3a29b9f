//go:build faults

package main

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/chordkv/chord/node"
)

// faultsVariable names a file that says what is wrong, a line each, and that may change at any time:
//
//	clock 1h    how far ahead the clock is
//	slow 200ms  how much longer a sync takes
//	sync 10     every tenth sync fails; likewise write, read
//	crash 10    the process dies at the tenth crash point
const faultsVariable = "FAULTS_OF_CHORDD"

type faults struct {
	clock, slow       atomic.Int64 // time.Duration
	sync, write, read everyNth
	crash             everyNth
}

// everyNth fails at every n-th call; at none if n is 0.
type everyNth struct{ n, calls atomic.Int64 }

func (e *everyNth) err() error {
	if n := e.n.Load(); n > 0 && e.calls.Add(1)%n == 0 {
		return syscall.EIO
	}
	return nil
}

var present = watchFaults(os.Getenv(faultsVariable))

func watchFaults(path string) *faults {
	f := new(faults)
	if path != "" {
		f.load(path)
		go func() {
			for ; ; time.Sleep(20 * time.Millisecond) {
				f.load(path)
			}
		}()
	}
	return f
}

func (f *faults) load(path string) {
	text, _ := os.ReadFile(path) // nothing is wrong if there is none
	said := map[string]string{}
	for line := range strings.Lines(string(text)) {
		what, how, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[what] = how
	}
	for what, to := range map[string]*atomic.Int64{"clock": &f.clock, "slow": &f.slow, "sync": &f.sync.n, "write": &f.write.n, "read": &f.read.n, "crash": &f.crash.n} {
		n := int64(0)
		if d, err := time.ParseDuration(said[what]); err == nil {
			n = int64(d)
		} else {
			_, _ = fmt.Sscan(said[what], &n)
		}
		to.Store(n)
	}
}

// skewed is a Runtime with a clock that is wrong.
type skewed struct{ *node.Live }

func (s skewed) Now() time.Time { return s.Live.Now().Add(time.Duration(present.clock.Load())) }

func newRuntime(live *node.Live) node.Runtime { return skewed{live} }

func diskFS() vfs.FS {
	return errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			time.Sleep(time.Duration(present.slow.Load()))
			return present.sync.err()
		case errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpCreate, errorfs.OpRename, errorfs.OpReuseForWrite:
			return present.write.err()
		case errorfs.OpFileRead, errorfs.OpFileReadAt:
			return present.read.err()
		}
		return nil
	}))
}
