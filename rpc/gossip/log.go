package gossip

import (
	"bytes"
	"log"
	"time"

	"github.com/rs/zerolog"
)

// What memberlist logs is bounded, because a stranger who sends garbage makes it log every packet.
const (
	logBurst  = 20
	logPeriod = 10 * time.Second
)

// newLog returns the logger for memberlist. Its lines are put into zerolog with the level that they begin with, until ended is closed: what
// memberlist is at then fails because it was cut off, which is nothing to report.
func newLog(to zerolog.Logger, ended <-chan struct{}) *log.Logger {
	return log.New(logWriter{to.Sample(&zerolog.BurstSampler{Burst: logBurst, Period: logPeriod}), ended}, "", 0)
}

type logWriter struct {
	log   zerolog.Logger
	ended <-chan struct{}
}

// logLevels are the marks with which memberlist begins a line.
var logLevels = []struct {
	mark  string
	level zerolog.Level
}{
	{"[DEBUG] ", zerolog.DebugLevel},
	{"[INFO] ", zerolog.InfoLevel},
	{"[WARN] ", zerolog.WarnLevel},
	{"[ERR] ", zerolog.ErrorLevel},
	{"[ERROR] ", zerolog.ErrorLevel},
}

// Write implements io.Writer; it is called once a line.
func (w logWriter) Write(line []byte) (int, error) {
	select {
	case <-w.ended:
		return len(line), nil
	default:
	}
	level, text := zerolog.WarnLevel, bytes.TrimSpace(line) // a line without a mark complains too
	for _, l := range logLevels {
		if rest, ok := bytes.CutPrefix(text, []byte(l.mark)); ok {
			level, text = l.level, rest
			break
		}
	}
	w.log.WithLevel(level).Msg(string(bytes.TrimPrefix(text, []byte("memberlist: "))))
	return len(line), nil
}
