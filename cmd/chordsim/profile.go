package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// profiles are what --cpuprofile and --memprofile write.
type profiles struct {
	cpu *os.File
	mem string
}

// startProfiles begins what the flags ask for.
func (a *app) startProfiles() error {
	a.profiles.mem = a.globals.memProfile
	if a.globals.cpuProfile == "" {
		return nil
	}
	f, err := os.Create(a.globals.cpuProfile)
	if err != nil {
		return fmt.Errorf("--cpuprofile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(fmt.Errorf("--cpuprofile: %w", err), f.Close())
	}
	a.profiles.cpu = f
	return nil
}

// stopProfiles completes the files.
func (a *app) stopProfiles() error {
	var errs []error
	if f := a.profiles.cpu; f != nil {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			errs = append(errs, fmt.Errorf("--cpuprofile: %w", err))
		}
	}
	if path := a.profiles.mem; path != "" {
		if err := writeHeap(path); err != nil {
			errs = append(errs, fmt.Errorf("--memprofile: %w", err))
		}
	}
	a.profiles = profiles{}
	return errors.Join(errs...)
}

func writeHeap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	runtime.GC() // what is counted is what was live at the last collection
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
