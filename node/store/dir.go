package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chordkv/chord/node"
)

// A data directory holds
//
//	chord.json   who the process is: see identity
//	clock        up to which time versions may have been given: see clockFile
//	lock         locked as long as a process uses the directory; holds its process number
//	records/     the Pebble store
//	records-stale-...  stores that were out of date: see SetAside
const (
	identityName = "chord.json"
	clockName    = "clock"
	lockName     = "lock"
	recordsName  = "records"
)

// Dir is a data directory in use by this process. Its methods are safe for concurrent use.
type Dir struct {
	path  string
	lock  *os.File
	alive time.Time    // when the process before this one was last known to be alive
	was   node.Contact // its contact
	clock clockFile

	mu sync.Mutex
	id identity
}

// DirOptions is what OpenDir needs to know.
type DirOptions struct {
	// VNodes is the number of ring nodes. A directory keeps the number that it was made with. 0 means that number, and 1 for
	// a new directory.
	VNodes int
	// Cluster is the cluster that the directory must belong to if it belongs to one already; zero for any.
	Cluster [16]byte
	Random  io.Reader        // where a new process id is drawn from: crypto/rand.Reader
	Now     func() time.Time // the wall clock: time.Now
}

// OpenDir takes a data directory into use: it makes it if there is none, locks it against other processes and counts the start. It
// refuses, and changes nothing in, a directory that is in use, is not a data directory and not empty, belongs to another
// cluster, was made with another number of vnodes or by a newer version, or whose chord.json is damaged.
//
// On a full disk it gives up the ballast file of the store (see PebbleOptions) if it needs to.
func OpenDir(path string, opts DirOptions) (*Dir, error) {
	d, err := openDir(path, opts)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	return d, nil
}

func openDir(path string, opts DirOptions) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := checkContents(path); err != nil {
		return nil, err
	}
	lock, err := lockDir(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, lock: lock, clock: clockFile{path: filepath.Join(path, clockName)}}
	err = d.clock.load()
	if err == nil {
		err = d.load(opts)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

// checkContents refuses a directory that holds something, but no chord.json. What a first start that was cut short
// leaves behind does not count.
func checkContents(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	harmless := []string{lockName, identityName + tempSuffix, "lost+found"}
	for _, e := range entries {
		if e.Name() == identityName {
			return nil
		}
	}
	for _, e := range entries {
		if !slices.Contains(harmless, e.Name()) {
			return fmt.Errorf("holds %q but no %s, so it is not a data directory of chord: "+
				"name an empty or new directory, or restore %s", e.Name(), identityName, identityName)
		}
	}
	return nil
}

// lockDir locks the directory for this process.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("not writable: %w", err)
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lockFile takes the lock until the file is closed.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("in use by another process")
		if pid, readErr := io.ReadAll(io.LimitReader(f, 20)); readErr == nil && len(pid) > 0 {
			err = fmt.Errorf("in use by process %s", strings.TrimSpace(string(pid)))
		}
	}
	return err
}

// load reads chord.json, or draws up a new one, and writes it with this start counted.
func (d *Dir) load(opts DirOptions) error {
	raw, err := os.ReadFile(filepath.Join(d.path, identityName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.id, err = newIdentity(opts)
	case err == nil:
		d.id, err = decodeIdentity(raw)
		d.alive = d.id.LastAlive
		if d.was.Until = d.alive; d.id.Contact != nil {
			d.was = node.Contact{Since: d.id.Contact.Since, Until: d.id.Contact.Until}
		}
		if err == nil {
			err = d.id.check(opts)
		}
	}
	if err != nil {
		return err
	}
	d.id.Incarnation++
	d.id.Format = identityFormat
	err = d.save(d.id)
	if isNoSpace(err) && os.Remove(filepath.Join(d.RecordsPath(), ballastName)) == nil {
		err = d.save(d.id)
	}
	if err != nil {
		return err
	}
	return d.notePID()
}

// notePID leaves the process number in the lock file for the error message of another process. A full disk does not matter.
func (d *Dir) notePID() error {
	pid := fmt.Appendf(nil, "%-19d\n", os.Getpid())
	if _, err := d.lock.WriteAt(pid, 0); err != nil && !isNoSpace(err) {
		return err
	}
	return nil
}

// save replaces chord.json, durably, as a whole.
func (d *Dir) save(id identity) error {
	name := filepath.Join(d.path, identityName)
	if err := replaceFile(name, id.encode()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// update changes the identity on disk and then in memory.
func (d *Dir) update(change func(*identity)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.id
	change(&id)
	if err := d.save(id); err != nil {
		return err
	}
	d.id = id
	return nil
}

// RecordsPath is where the Pebble store of the directory belongs.
func (d *Dir) RecordsPath() string { return filepath.Join(d.path, recordsName) }

// Identity returns who the process is.
func (d *Dir) Identity() node.Identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id.node()
}

// Cluster returns the cluster that the process belongs to; false if it has not joined one yet.
func (d *Dir) Cluster() ([16]byte, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return [16]byte(d.id.Cluster), d.id.Cluster != hexID{}
}

// SetCluster notes which cluster the process belongs to, once and for all.
func (d *Dir) SetCluster(cluster [16]byte) error {
	was, ok := d.Cluster()
	if ok && was == cluster {
		return nil
	}
	if ok {
		return fmt.Errorf("data directory %s belongs to cluster %x, not %x", d.path, was, cluster)
	}
	return d.update(func(id *identity) { id.Cluster = cluster })
}

// Peers returns the addresses that SetPeers left, to rejoin the ring through.
func (d *Dir) Peers() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.id.Peers)
}

// SetPeers remembers addresses of other processes. It writes only if they differ from those that are remembered.
func (d *Dir) SetPeers(addrs []string) error {
	if slices.Equal(addrs, d.Peers()) {
		return nil
	}
	return d.update(func(id *identity) { id.Peers = slices.Clone(addrs) })
}

// LastAlive returns the latest Touch before this start, the zero time for a new directory: how long the process was away.
func (d *Dir) LastAlive() time.Time { return d.alive }

// Contact returns until when the process was in contact with its cluster before this start, as the latest Touch says, or now after SetAside. It is zero for a new
// directory.
func (d *Dir) Contact() node.Contact {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.was
}

// Touch notes that the process is alive, and its contact. Each costs two syncs of the disk.
func (d *Dir) Touch(now time.Time, c node.Contact) error {
	return d.update(func(id *identity) {
		id.LastAlive, id.Contact = now.UTC(), nil
		if !c.Until.IsZero() {
			id.Contact = &contact{c.Since.UTC(), c.Until.UTC()}
		}
	})
}

// SetAside moves the records, which nobody uses, out of the way because they are out of date, and returns where they are. The process begins anew, without any,
// and so it has none that are out of date now.
func (d *Dir) SetAside(now time.Time) (path string, err error) {
	path = filepath.Join(d.path, recordsName+"-stale-"+now.UTC().Format("20060102T150405.000Z"))
	if err := os.Rename(d.RecordsPath(), path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	c := node.Contact{Since: now, Until: now}
	if err := d.Touch(now, c); err != nil { // which syncs the directory too
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.was = c
	return path, nil
}

// Close gives the directory back.
func (d *Dir) Close() error { return errors.Join(d.clock.close(), d.lock.Close()) }

const tempSuffix = ".tmp"

// replaceFile writes a file so that after a power cut there is either the old or the new content.
func replaceFile(name string, content []byte) error {
	temp, err := os.OpenFile(name+tempSuffix, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(filepath.Dir(name))
}

// hexID is 16 bytes that are written as 32 hexadecimal digits, and as nothing if they are zero.
type hexID [16]byte

// MarshalText implements encoding.TextMarshaler.
func (h hexID) MarshalText() ([]byte, error) {
	if h == (hexID{}) {
		return nil, nil
	}
	return hex.AppendEncode(nil, h[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexID) UnmarshalText(text []byte) error {
	*h = hexID{}
	if len(text) == 0 {
		return nil
	}
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("id %q: want %d hexadecimal digits", text, hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], text)
	return err
}
