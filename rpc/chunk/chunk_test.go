package chunk_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc/chunk"
)

func pseudo(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

const smallBlock = 1024 // with 32 hashes in an index block

func upload(t testing.TB, f *fakeRing, key string, data []byte) chunk.Uploaded {
	t.Helper()
	u, err := chunk.Upload(t.Context(), f, []byte(key), bytes.NewReader(data), int64(len(data)), chunk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func open(t testing.TB, f *fakeRing, key string) *chunk.Value {
	t.Helper()
	r, err := f.Do(t.Context(), node.Op{Kind: node.OpGet, Key: []byte(key)})
	if err != nil || !r.Manifest {
		t.Fatalf("%q: %+v, %v, want a manifest", key, r, err)
	}
	v, err := chunk.Open(f, []byte(key), r, chunk.Options{Patience: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantValue(t testing.TB, f *fakeRing, key string, want []byte) {
	t.Helper()
	var got bytes.Buffer
	v := open(t, f, key)
	if err := v.Download(t.Context(), &got, 0); err != nil || !bytes.Equal(got.Bytes(), want) || v.Size != int64(len(want)) {
		t.Fatalf("%q: %d bytes of %d, %v; want %d", key, got.Len(), v.Size, err, len(want))
	}
}

func wantBlocks(t testing.TB, f *fakeRing, want int) {
	t.Helper()
	if got := f.blocks(); got != want {
		t.Errorf("got %d blocks, want %d", got, want)
	}
}

// Values of every size come back as they were, and leave nothing behind.
func TestRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, smallBlock - 1, smallBlock, smallBlock + 1, 32 * smallBlock, 32*smallBlock + 1, 100*smallBlock - 7} {
		f := newRing(smallBlock + 31) // what does not divide into hashes is left out
		data := pseudo(size, 1)
		u := upload(t, f, "k\x00\xff", data)
		wantValue(t, f, "k\x00\xff", data)
		if u.Manifest.BlockBytes != smallBlock || u.Known != 0 || u.Result.Acks != 2 {
			t.Errorf("%d bytes: %+v", size, u)
		}
		blocks := (size + smallBlock - 1) / smallBlock
		wantBlocks(t, f, blocks+(blocks+31)/32)
		for from := range int64(min(blocks, 3)) {
			var rest bytes.Buffer
			if err := open(t, f, "k\x00\xff").Download(t.Context(), &rest, from); err != nil || !bytes.Equal(rest.Bytes(), data[from*smallBlock:]) {
				t.Errorf("%d bytes from block %d: got %d bytes, %v", size, from, rest.Len(), err)
			}
		}
		if _, err := chunk.Do(t.Context(), f, node.Op{Kind: node.OpDelete, Key: []byte("k\x00\xff")}); err != nil {
			t.Fatal(err)
		}
		if left := f.own(); len(left) > 0 {
			t.Errorf("%d bytes: after the delete there is %q", size, left)
		}
	}
}

// An upload does not do with one replica, whatever it is asked.
func TestUploadNeedsAQuorum(t *testing.T) {
	for asked, want := range map[node.Level]node.Level{node.LevelOne: node.LevelQuorum, node.LevelQuorum: node.LevelQuorum, node.LevelAll: node.LevelAll} {
		f := newRing(smallBlock)
		f.fail = func(op node.Op) error {
			if op.Level != want {
				t.Errorf("asked for %v: a %v at %v, want %v", asked, op.Kind, op.Level, want)
			}
			return nil
		}
		if _, err := chunk.Upload(t.Context(), f, []byte("k"), strings.NewReader("value"), 5, chunk.Options{Level: asked}); err != nil {
			t.Error(err)
		}
	}
}

// A source of unknown length, in blocks of the usual size; equal blocks are stored once.
func TestStreamOfEqualBlocks(t *testing.T) {
	f := newRing(1 << 20)
	data := make([]byte, 10*chunk.BlockBytes+5)
	if _, err := chunk.Upload(t.Context(), f, []byte("k"), bytes.NewBuffer(bytes.Clone(data)), -1, chunk.Options{Parallel: 1}); err != nil {
		t.Fatal(err)
	}
	wantValue(t, f, "k", data)
	wantBlocks(t, f, 3)
}

// What cannot be stored, or is not what was announced, is refused, and leaves the key as it was.
func TestRefused(t *testing.T) {
	f := newRing(smallBlock)
	upload(t, f, "k", []byte("old"))
	for name, size := range map[string]int64{"shorter": 11, "longer": 9, "far too long": 1 << 40} {
		_, err := chunk.Upload(t.Context(), f, []byte("k"), strings.NewReader("0123456789"), size, chunk.Options{})
		if !errors.Is(err, node.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := chunk.Upload(t.Context(), f, []byte("k"), bytes.NewReader(make([]byte, 1000*32*smallBlock)), -1, chunk.Options{}); !errors.Is(err, node.ErrInvalid) {
		t.Errorf("a stream too long: got %v, want ErrInvalid", err)
	}
	broken := &flaky{*bytes.NewReader(make([]byte, 5*smallBlock)), errStop}
	if _, err := chunk.Upload(t.Context(), f, []byte("k"), broken, -1, chunk.Options{}); !errors.Is(err, errStop) {
		t.Errorf("a source that breaks: got %v", err)
	}
	for _, key := range []string{"", strings.Repeat("k", 1025)} {
		if _, err := chunk.Upload(t.Context(), f, []byte(key), strings.NewReader("x"), 1, chunk.Options{}); !errors.Is(err, node.ErrInvalid) {
			t.Errorf("a key of %d bytes: got %v, want ErrInvalid", len(key), err)
		}
	}
	wantValue(t, f, "k", []byte("old"))
}

// die lets an upload of data end after so many blocks, as if its process had been killed.
func die(t *testing.T, f *fakeRing, key string, data []byte, after int) {
	t.Helper()
	start := f.puts
	f.set(func() {
		f.fail = func(op node.Op) error {
			if f.puts-start >= after {
				return errStop
			}
			return nil
		}
	})
	_, err := chunk.Upload(t.Context(), f, []byte(key), bytes.NewReader(data), int64(len(data)), chunk.Options{})
	if !errors.Is(err, errStop) {
		t.Fatalf("got %v, want the end of the upload", err)
	}
	f.set(func() { f.fail = nil })
}

// The same upload again sends only what is not there. Another one does not mix with it.
func TestResume(t *testing.T) {
	f := newRing(smallBlock)
	data, other := pseudo(100*smallBlock, 1), pseudo(100*smallBlock, 2)
	die(t, f, "k", data, 50)
	if r, err := f.Do(t.Context(), node.Op{Kind: node.OpGet, Key: []byte("k")}); err != nil || r.Found {
		t.Errorf("half of the value is there: %+v, %v", r, err)
	}
	die(t, f, "k", data, 20)
	sent := f.puts
	u := upload(t, f, "k", data)
	if got, want := f.puts, 100+4; got != want || sent < 70 {
		t.Errorf("%d blocks were sent before the last try, and %d in all, want each of %d once", sent, got, want)
	}
	if u.Known < 60*smallBlock || u.Known > int64(sent)*smallBlock {
		t.Errorf("%d bytes were known, %d blocks sent", u.Known, sent)
	}
	wantValue(t, f, "k", data)

	die(t, f, "k", other, 50)
	wantValue(t, f, "k", data)
	before := f.puts
	upload(t, f, "k", data)
	if got := f.puts - before; got != 104 {
		t.Errorf("other data was taken for the same: %d blocks sent", got)
	}
	wantValue(t, f, "k", data)
}

// Overwriting frees what was there, whatever writes: but not if the write is not on a quorum, or its blocks cannot be reached; then Collect does.
func TestOverwriteFrees(t *testing.T) {
	f := newRing(smallBlock)
	upload(t, f, "k", pseudo(50*smallBlock, 1))
	upload(t, f, "other", pseudo(50*smallBlock, 1))
	wantBlocks(t, f, 2*52)
	data := pseudo(10*smallBlock, 2)
	upload(t, f, "k", data)
	wantBlocks(t, f, 52+11)
	wantValue(t, f, "k", data)

	put := node.Op{Kind: node.OpPut, Key: []byte("k"), Value: []byte("small")}
	f.acks = 1
	if r, err := chunk.Do(t.Context(), f, put); err != nil || r.Replaced == nil {
		t.Errorf("with one replica: %+v, %v", r, err)
	}
	wantBlocks(t, f, 52+11)
	f.acks = 2
	collect(t, f, 0, 1)
	wantBlocks(t, f, 52)

	upload(t, f, "k", data)
	f.set(func() {
		f.fail = func(op node.Op) error {
			if op.Kind == node.OpDelete && strings.HasPrefix(string(op.Key), "\x00chord.block") && op.Key[len(op.Key)-1]%2 == 0 {
				return errStop
			}
			return nil
		}
	})
	if r, err := chunk.Do(t.Context(), f, put); err != nil || r.Replaced == nil {
		t.Errorf("with blocks that cannot be deleted: %+v, %v", r, err)
	}
	f.set(func() { f.fail = nil })
	collect(t, f, 0, 1)
	wantBlocks(t, f, 52)
	wantValue(t, f, "other", pseudo(50*smallBlock, 1))
	if r, err := chunk.Do(t.Context(), f, put); err != nil || r.Replaced != nil {
		t.Errorf("an ordinary value: %+v, %v", r, err)
	}
}

// collect searches for leftovers, wants so many, and deletes them.
func collect(t testing.TB, f *fakeRing, olderThan time.Duration, want int) []chunk.Leftover {
	t.Helper()
	opts := chunk.CollectOptions{OlderThan: olderThan}
	left, err := chunk.Leftovers(t.Context(), f, opts)
	if err != nil || len(left) != want {
		t.Fatalf("got leftovers %+v, %v; want %d", left, err, want)
	}
	var blocks int64
	for _, l := range left {
		blocks += l.Blocks
	}
	if n, err := chunk.Collect(t.Context(), f, left, opts); err != nil || n != blocks {
		t.Fatalf("collected %d blocks, %v; want %d", n, err, blocks)
	}
	return left
}

// Collect deletes what is left of uploads that were broken off and nothing else: neither what is young, nor a value under the same key, now or at the next time.
func TestCollect(t *testing.T) {
	f := newRing(smallBlock)
	f.clock = uint64(time.Now().Add(-time.Hour).UnixMilli()) << 16
	data := pseudo(40*smallBlock, 1)
	upload(t, f, "k", data)
	collect(t, f, 0, 0)
	die(t, f, "k", pseudo(40*smallBlock, 2), 10)
	die(t, f, "new", data, 10)
	collect(t, f, 2*time.Hour, 0)
	left := collect(t, f, time.Minute, 2)
	for _, l := range left {
		if key := string(l.Key); key != "k" && key != "new" || l.Blocks < 10 || time.Since(l.Last) < 50*time.Minute {
			t.Errorf("leftover %+v", l)
		}
	}
	wantBlocks(t, f, 42)
	for range 2 {
		collect(t, f, 0, 0)
		wantValue(t, f, "k", data)
	}
	if _, err := chunk.Do(t.Context(), f, node.Op{Kind: node.OpDelete, Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	if left := f.own(); len(left) > 0 {
		t.Errorf("at last there is %q", left)
	}
}

// An upload that somebody went on with since it was found is not collected.
func TestCollectSparesWhatGoesOn(t *testing.T) {
	f := newRing(smallBlock)
	f.clock = uint64(time.Now().Add(-time.Hour).UnixMilli()) << 16
	data := pseudo(40*smallBlock, 1)
	die(t, f, "k", data, 10)
	left, err := chunk.Leftovers(t.Context(), f, chunk.CollectOptions{OlderThan: time.Minute})
	if err != nil || len(left) != 1 {
		t.Fatal(left, err)
	}
	f.set(func() { f.clock = uint64(time.Now().UnixMilli()) << 16 })
	die(t, f, "k", data, 10)
	if n, err := chunk.Collect(t.Context(), f, left, chunk.CollectOptions{}); n != 0 || err != nil {
		t.Errorf("collected %d blocks, %v", n, err)
	}
	upload(t, f, "k", data)
	wantValue(t, f, "k", data)
}

// Of two clients with one upload the one that began last goes on.
func TestTakenOver(t *testing.T) {
	f := newRing(smallBlock)
	data := pseudo(10*smallBlock, 1)
	taken := false
	f.fail = func(op node.Op) error {
		if !taken && strings.HasPrefix(string(op.Key), "\x00chord.block") && f.puts == 5 {
			taken = true
			f.mu.Unlock()
			defer f.mu.Lock()
			upload(t, f, "k", data)
		}
		return nil
	}
	_, err := chunk.Upload(t.Context(), f, []byte("k"), bytes.NewReader(data), int64(len(data)), chunk.Options{Parallel: 1})
	if !errors.Is(err, chunk.ErrTakenOver) {
		t.Errorf("got %v, want ErrTakenOver", err)
	}
	wantValue(t, f, "k", data)
}

// A client that sleeps just before it stores its manifest does not store it any more if another one has stored its own meanwhile: its blocks may be gone.
func TestSleepBeforeTheCommit(t *testing.T) {
	f := newRing(smallBlock)
	data := pseudo(10*smallBlock, 1)
	slept := false
	f.fail = func(op node.Op) error {
		if !slept && op.Kind == node.OpManifest {
			slept = true
			f.mu.Unlock()
			defer f.mu.Lock()
			upload(t, f, "k", data)
			collect(t, f, 0, 1)
		}
		return nil
	}
	_, err := chunk.Upload(t.Context(), f, []byte("k"), bytes.NewReader(data), int64(len(data)), chunk.Options{})
	if !errors.Is(err, chunk.ErrTakenOver) {
		t.Errorf("got %v, want ErrTakenOver", err)
	}
	wantValue(t, f, "k", data)
	wantBlocks(t, f, 11)
}

// Answers that are lost change nothing.
func TestLostAnswers(t *testing.T) {
	f := newRing(smallBlock)
	data := pseudo(50*smallBlock, 1)
	upload(t, f, "k", pseudo(50*smallBlock, 2))
	lost := make(map[node.RequestID]bool)
	f.set(func() {
		f.after = func(op node.Op) error {
			if op.Kind == node.OpGet || lost[op.Request] {
				return nil
			}
			lost[op.Request] = true
			return node.ErrUnknown
		}
	})
	upload(t, f, "k", data)
	f.set(func() { f.after = nil })
	wantValue(t, f, "k", data)
	wantBlocks(t, f, 52)
}

// A block that is missing, or is not what it should be, is an error before any of it is written, and one of a value that is gone says so.
func TestBadBlocks(t *testing.T) {
	f := newRing(smallBlock)
	data := pseudo(10*smallBlock, 1)
	upload(t, f, "k", data)
	v := open(t, f, "k")
	read := func(v *chunk.Value, want error) {
		t.Helper()
		var got bytes.Buffer
		if err := v.Download(t.Context(), &got, 0); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if !bytes.HasPrefix(data, got.Bytes()) || got.Len() == len(data) {
			t.Errorf("%d bytes were written", got.Len())
		}
	}
	for _, key := range f.own() {
		if !strings.HasPrefix(key, "\x00chord.block") {
			continue
		}
		sound := f.records[key]
		bad := sound
		bad.Value = bytes.Clone(sound.Value)
		bad.Value[len(bad.Value)-1] ^= 1
		f.set(func() { f.records[key] = bad })
		read(open(t, f, "k"), node.ErrCorrupt)
		f.set(func() { delete(f.records, key) })
		read(open(t, f, "k"), node.ErrCorrupt)
		f.set(func() { f.records[key] = sound })
	}
	wantValue(t, f, "k", data)
	upload(t, f, "k", pseudo(10*smallBlock, 2))
	read(v, chunk.ErrReplaced)

	if _, err := chunk.Open(f, []byte("k"), node.Result{Found: true, Manifest: true, Value: []byte("no manifest")}, chunk.Options{}); !errors.Is(err, node.ErrCorrupt) {
		t.Errorf("open: got %v, want ErrCorrupt", err)
	}
}

// Have tells how much of a file that a download left behind is good.
func TestHave(t *testing.T) {
	f := newRing(smallBlock)
	data := pseudo(40*smallBlock+5, 1)
	upload(t, f, "k", data)
	spoilt := bytes.Clone(data)
	spoilt[35*smallBlock] ^= 1
	for _, tc := range []struct {
		data []byte
		want int64
	}{{nil, 0}, {data[:smallBlock-1], 0}, {data[:smallBlock], 1}, {data[:33*smallBlock+1], 33}, {data, 41}, {append(bytes.Clone(data), 1), 41}, {spoilt, 35}} {
		if got, err := open(t, f, "k").Have(t.Context(), bytes.NewReader(tc.data)); err != nil || got != tc.want {
			t.Errorf("%d bytes: got %d blocks, %v; want %d", len(tc.data), got, err, tc.want)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	r := newRing(smallBlock)
	upload(f, r, "k", pseudo(100*smallBlock, 1))
	f.Add(r.records["k"].Value)
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := chunk.ParseManifest(b)
		if err != nil {
			if !errors.Is(err, node.ErrCorrupt) {
				t.Errorf("%v is no node.ErrCorrupt", err)
			}
			return
		}
		if m.Blocks()*int64(m.BlockBytes) < m.Size {
			t.Errorf("%+v", m)
		}
	})
}
