package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Points runs n independent points of an experiment, Params.Workers at once, and returns their results by index: nil where a point did
// not finish. label names the group among others of the same experiment, in progress and on disk.
//
// After the first error no further point starts, and that error is returned with what there is; so it is with the end of ctx, which
// run itself must watch too. Where the lab keeps finished points, a run that is repeated after an interruption takes them from disk: T must come
// back from JSON as it was (exported fields, no NaN), and a point must depend on nothing but Params and i.
func Points[T any](ctx context.Context, p Params, progress *Progress, label string, n int,
	run func(ctx context.Context, i int, at *Point) (T, error),
) ([]*T, error) {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return somePoints(ctx, p, progress, label, n, all, run)
}

// somePoints is Points for a part of the n points.
func somePoints[T any](ctx context.Context, p Params, progress *Progress, label string, n int, part []int,
	run func(ctx context.Context, i int, at *Point) (T, error),
) ([]*T, error) {
	results := make([]*T, n)
	progress.Expect(len(part))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg   sync.WaitGroup
		next = make(chan int)
	)
	for range max(1, min(p.Workers, len(part))) {
		wg.Go(func() {
			for i := range next {
				result, err := onePoint(ctx, p, progress, label, i, run)
				if err != nil {
					cancel(err)
					continue
				}
				results[i] = result
			}
		})
	}
	for _, i := range part {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return results, context.Cause(ctx)
}

func onePoint[T any](ctx context.Context, p Params, progress *Progress, label string, i int,
	run func(ctx context.Context, i int, at *Point) (T, error),
) (*T, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	name := pointName(label, i)
	kept, err := keptPoint[T](p.store, name)
	if err != nil || kept != nil {
		progress.skip()
		return kept, err
	}
	at := progress.Begin(fmt.Sprintf("%s %d", label, i+1), 0)
	defer at.End()
	result, err := run(ctx, i, at)
	if err != nil {
		return nil, err
	}
	return &result, p.store.save(name, result)
}

// pointName is the file of a finished point.
func pointName(label string, i int) string { return fmt.Sprintf("%s-%06d.json", label, i) }

// pointStore keeps the results of finished points. A nil store keeps none.
type pointStore struct{ dir string }

// keptPoint returns a finished point, nil if there is none. A file that is not whole counts as none.
func keptPoint[T any](s *pointStore, name string) (*T, error) {
	if s == nil {
		return nil, nil
	}
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read a finished point: %w", err)
	}
	result := new(T)
	if json.Unmarshal(data, result) != nil {
		return nil, nil
	}
	return result, nil
}

func (s *pointStore) save(name string, result any) error {
	if s == nil {
		return nil
	}
	data, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("keep a finished point: %w", err)
	}
	if err := writeFile(filepath.Join(s.dir, name), append(data, '\n')); err != nil {
		return fmt.Errorf("keep a finished point: %w", err)
	}
	return nil
}
