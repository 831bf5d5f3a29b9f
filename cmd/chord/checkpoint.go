package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/chordkv/chord/internal/cli"
)

// importCheckpoint says what of a file has been imported: every line before Line that is not in Redo is acknowledged (or was
// skipped).
type importCheckpoint struct {
	Input        fingerprint `json:"input"`
	Format       lineFormat  `json:"format"`
	Line         int64       `json:"line"`   // lines read
	Offset       int64       `json:"offset"` // bytes read: where line number Line+1 begins
	Redo         []lineRef   `json:"redo"`   // lines among them that are not acknowledged: under way or failed
	Acknowledged int64       `json:"acknowledged"`
}

// lineRef is a line of a file: its number, from 1, and the offset of its first byte.
type lineRef struct {
	Line   int64 `json:"line"`
	Offset int64 `json:"offset"`
}

// exportCheckpoint says how far an export got: the file holds every key up to LastKey, in ring order, and is Offset bytes long.
type exportCheckpoint struct {
	Format  lineFormat `json:"format"`
	Offset  int64      `json:"offset"`
	LastKey []byte     `json:"last_key"`
	Keys    int64      `json:"keys"`
}

// fingerprint recognizes a file, so that an import is not resumed with another one.
type fingerprint struct {
	Size int64  `json:"size"` // -1 if it is no regular file
	Head string `json:"head"` // SHA-256 of the first bytes
}

// fingerprintBytes is how much of a file the fingerprint covers.
const fingerprintBytes = 64 << 10

// takeFingerprint leaves the file at its beginning.
func takeFingerprint(f *os.File) (fingerprint, error) {
	st, err := f.Stat()
	if err != nil {
		return fingerprint{}, err
	}
	h := sha256.New()
	if _, err := io.CopyN(h, f, fingerprintBytes); err != nil && !errors.Is(err, io.EOF) {
		return fingerprint{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fingerprint{}, err
	}
	return fingerprint{Size: st.Size(), Head: hex.EncodeToString(h.Sum(nil))}, nil
}

// saveCheckpoint replaces the file in one step, so that a kill leaves the old or the new one.
func saveCheckpoint(path string, checkpoint any) error {
	data, err := json.Marshal(checkpoint)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	defer os.Remove(tmp.Name()) // gone already if all went well
	_, err = tmp.Write(append(data, '\n'))
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// loadCheckpoint reads what saveCheckpoint wrote.
func loadCheckpoint(path string, checkpoint any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Usagef("nothing to resume: there is no checkpoint %s", path).WithHint("Leave out --resume to start from the beginning.")
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := json.Unmarshal(data, checkpoint); err != nil {
		return cli.Usagef("checkpoint %s: %v", path, err).WithHint("Delete it and start from the beginning.")
	}
	return nil
}

// removeCheckpoint is for the end of a command that has nothing left to resume.
func removeCheckpoint(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// saveEvery is how much work a kill makes an import repeat.
const saveEvery = time.Second

// saver writes the checkpoint of an import from time to time.
type saver struct {
	path string
	im   *importer
	quit chan struct{}
	done chan struct{}
	err  error // of the last attempt
}

// startSaver saves nothing if path is empty.
func startSaver(path string, im *importer) *saver {
	s := &saver{path: path, im: im, quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		tick := time.NewTicker(saveEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.save()
			case <-s.quit:
				return
			}
		}
	}()
	return s
}

func (s *saver) save() {
	if s.path != "" {
		s.err = saveCheckpoint(s.path, s.im.checkpoint())
	}
}

// stop writes the last checkpoint, or removes it if nothing is left to resume.
func (s *saver) stop(complete bool) error {
	close(s.quit)
	<-s.done
	if complete && s.path != "" {
		return removeCheckpoint(s.path)
	}
	s.save()
	return s.err
}
