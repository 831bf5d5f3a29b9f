package node

import "sync/atomic"

// peerTable has a word for each of many processes: 24 bits of the hash of its address, never all zero, and 40 that say something about it. A zero word is none.
//
// It is a cache, not a record: a peer has one of a few places by its hash, peers of one hash share a word, and what is to become of a newcomer when all of its places are
// taken is for the user to say. So it is small enough for a million processes in one program, and read without a lock.
type peerTable struct {
	table atomic.Pointer[[]peerRow] // its length is a power of two
}

// peerRow is the places that a peer can have: one cache line. A table grows when one of its rows is full.
type peerRow [8]atomic.Uint64

// mostPeerRows is how many rows a table has at most: 32 KB, with places for as many peers as there are in the routing table.
const mostPeerRows = 512

// peerBits are those that say something about a peer.
const peerBits = 40

// peerHash is FNV-1a, scrambled, because addresses that differ in the last character alone hardly differ in its high bits, and cut to 24 bits that are not all zero.
func peerHash(addr string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(addr) {
		h = (h ^ uint64(addr[i])) * 1099511628211
	}
	h = (h ^ h>>32) * 0xbf58476d1ce4e5b9
	return max(h>>peerBits, 1)
}

// find returns the word of a peer, zero if there is none.
func (t *peerTable) find(hash uint64) uint64 {
	table := t.table.Load()
	if table == nil {
		return 0
	}
	word, _ := findPeer(*table, hash)
	return word
}

// findPeer returns the word of a peer and its place. If there is none, the place is one that it may take; nil if all are taken.
func findPeer(table []peerRow, hash uint64) (uint64, *atomic.Uint64) {
	var free *atomic.Uint64
	row := rowOf(table, hash)
	for i := range row {
		place := &row[i]
		word := place.Load()
		if word != 0 && word>>peerBits == hash {
			return word, place
		}
		if word == 0 && free == nil {
			free = place
		}
	}
	return 0, free
}

// rowOf returns the row of a table that has the places of a peer.
func rowOf(table []peerRow, hash uint64) *peerRow { return &table[hash>>1&uint64(len(table)-1)] }

// taken returns the place that a newcomer is to take when all of its are taken.
func (t *peerTable) taken(hash uint64) *atomic.Uint64 {
	return &rowOf(*t.table.Load(), hash)[hash>>21&7]
}

// place is findPeer in the table, which grows if all places of the peer are taken and it may.
func (t *peerTable) place(hash uint64) (uint64, *atomic.Uint64) {
	// Bound: the table is larger each time around.
	for rows := 1; ; rows *= 2 {
		table := t.sized(rows)
		rows = len(table)
		if word, place := findPeer(table, hash); place != nil || rows >= mostPeerRows {
			return word, place
		}
	}
}

// sized returns the table, which it grows to at least so many rows.
func (t *peerTable) sized(rows int) []peerRow {
	// Bound: another task has grown it each time around.
	for {
		old := t.table.Load()
		if old != nil && len(*old) >= rows {
			return *old
		}
		table := make([]peerRow, rows)
		if old != nil {
			for i := range len(*old) * len(peerRow{}) {
				word := (*old)[i/len(peerRow{})][i%len(peerRow{})].Load()
				if _, place := findPeer(table, word>>peerBits); word != 0 && place != nil {
					place.Store(word)
				}
			}
		}
		if t.table.CompareAndSwap(old, &table) {
			return table
		}
	}
}
