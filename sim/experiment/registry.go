package experiment

import "fmt"

// All returns the experiments in the order in which one reads about them: an ideal ring, failures, churn, what nobody else has measured.
func All() []*Experiment {
	return []*Experiment{
		loadBalance(),
		pathLengths(),
		stretch(),
		simultaneousFailures(),
		churnToN(),
		churnSIGCOMM(),
		churnP2PSim(),
		oneHop(),
		nearReads(),
		falseSuspicion(),
		churnBamboo(),
		sessions(),
		partitionHeal(),
		zoneLoss(),
		durability(),
		availability(),
		scale(),
	}
}

// Find returns the experiment with the given name; nil if there is none.
func Find(name string) *Experiment {
	for _, e := range All() {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// summarize says how many of the figures that were compared agree.
func summarize(r *Report) string {
	ok, missed := r.Verdicts()
	if missed == 0 {
		return fmt.Sprintf("All %d comparisons agree within the tolerance.", ok)
	}
	return fmt.Sprintf("%d of %d comparisons agree within the tolerance, %d do not.", ok, ok+missed, missed)
}
