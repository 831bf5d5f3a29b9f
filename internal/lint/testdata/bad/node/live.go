package node

import (
	"os"
	"time"
)

// Live may do all of it.
func Live(c chan int) { go func() { <-time.After(time.Second); c <- os.Getpid() }() }
