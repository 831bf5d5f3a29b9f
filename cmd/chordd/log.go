package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// logger returns the logger for these settings, after it has logged what is dubious about them.
func (s *settings) logger(sur surroundings) zerolog.Logger {
	log := newLogger(s.cfg, sur.stderr, sur.environ)
	for _, w := range s.warnings {
		log.Warn().Msg(w)
	}
	if s.cfg.Insecure {
		log.Warn().Msg("--insecure: whoever reaches the addresses of this process can read and change everything")
	}
	return log
}

// newLogger returns the logger of a process on w, standard error.
func newLogger(cfg Config, w io.Writer, environ []string) zerolog.Logger {
	level, err := zerolog.ParseLevel(cfg.LogLevel)
	if err != nil {
		panic(err) // the flag takes zerolog's names only
	}
	file, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd()))
	if cfg.LogFormat == "console" || cfg.LogFormat == "auto" && terminal {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !terminal || noColor(environ)}
	}
	// A process logs from many goroutines; a ConsoleWriter needs the lock, a file does no harm with it.
	return zerolog.New(zerolog.SyncWriter(w)).Level(level).With().Timestamp().Logger()
}

// noColor reports whether the user asked for no colors (https://no-color.org).
func noColor(environ []string) bool {
	for _, e := range environ {
		if len(e) > len("NO_COLOR=") && e[:len("NO_COLOR=")] == "NO_COLOR=" {
			return true
		}
	}
	return false
}
