// Package store may log and may use anything of the standard library.
package store

import (
	"log"
	"os"
	"sync"
	"time"
)

var mu sync.Mutex

// Open does what a store does.
func Open() {
	mu.Lock()
	defer mu.Unlock()
	log.SetOutput(os.Stdout) // want "os.Stdout is banned in node/store, use an error, Events or an io.Writer that the caller passes"
	println("here")          // want "println is banned in node/store, use an error, Events or an io.Writer that the caller passes"
	go time.Now()
}
