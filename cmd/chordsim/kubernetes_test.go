package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim"
)

// manifest has the fields of the Kubernetes objects that the files in deploy/kubernetes use, and nothing else: an unknown field is an error.
type manifest struct {
	APIVersion string            `yaml:"apiVersion"`
	Kind       string            `yaml:"kind"`
	Metadata   map[string]string `yaml:"metadata"`
	Data       map[string]string `yaml:"data"`
	Spec       struct {
		AccessModes          []string       `yaml:"accessModes"`
		Resources            map[string]any `yaml:"resources"`
		CompletionMode       string         `yaml:"completionMode"`
		Completions          int            `yaml:"completions"`
		Parallelism          int            `yaml:"parallelism"`
		BackoffLimit         *int           `yaml:"backoffLimit"`
		BackoffLimitPerIndex *int           `yaml:"backoffLimitPerIndex"`
		PodFailurePolicy     struct {
			Rules []failureRule `yaml:"rules"`
		} `yaml:"podFailurePolicy"`
		Template struct {
			Spec podSpec `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type failureRule struct {
	Action      string `yaml:"action"`
	OnExitCodes struct {
		ContainerName string `yaml:"containerName"`
		Operator      string `yaml:"operator"`
		Values        []int  `yaml:"values"`
	} `yaml:"onExitCodes"`
	OnPodConditions []struct {
		Type   string `yaml:"type"`
		Status string `yaml:"status"`
	} `yaml:"onPodConditions"`
}

type podSpec struct {
	RestartPolicy   string         `yaml:"restartPolicy"`
	Grace           int            `yaml:"terminationGracePeriodSeconds"`
	SecurityContext map[string]any `yaml:"securityContext"`
	Containers      []struct {
		Name            string   `yaml:"name"`
		Image           string   `yaml:"image"`
		ImagePullPolicy string   `yaml:"imagePullPolicy"`
		Args            []string `yaml:"args"`
		Env             []struct {
			Name      string `yaml:"name"`
			ValueFrom struct {
				FieldRef struct {
					FieldPath string `yaml:"fieldPath"`
				} `yaml:"fieldRef"`
			} `yaml:"valueFrom"`
		} `yaml:"env"`
		Resources       map[string]any `yaml:"resources"`
		SecurityContext map[string]any `yaml:"securityContext"`
		VolumeMounts    []struct {
			Name      string `yaml:"name"`
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	} `yaml:"containers"`
	Volumes []struct {
		Name                  string            `yaml:"name"`
		ConfigMap             map[string]string `yaml:"configMap"`
		PersistentVolumeClaim map[string]string `yaml:"persistentVolumeClaim"`
	} `yaml:"volumes"`
}

func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	all := make(map[string]manifest)
	for _, file := range []string{"sweep.yaml", "merge.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "kubernetes", file))
		if err != nil {
			t.Fatal(err)
		}
		for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
			var m manifest
			if err := yaml.UnmarshalWithOptions(doc, &m, yaml.Strict()); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all[m.Kind+"/"+m.Metadata["name"]] = m
		}
	}
	return all
}

// TestKubernetesFilesFitTogether: every volume that is mounted is declared, and what it names is in the files.
func TestKubernetesFilesFitTogether(t *testing.T) {
	all := manifests(t)
	for _, name := range []string{"Job/chordsim-sweep", "Job/chordsim-merge"} {
		job, ok := all[name]
		if !ok || job.APIVersion != "batch/v1" || job.Spec.Template.Spec.RestartPolicy != "Never" {
			t.Fatalf("%s: %+v", name, job)
		}
		pod := job.Spec.Template.Spec
		var volumes []string
		for _, v := range pod.Volumes {
			volumes = append(volumes, v.Name)
			if m := v.ConfigMap; m != nil && all["ConfigMap/"+m["name"]].APIVersion != "v1" {
				t.Errorf("%s: there is no ConfigMap %s", name, m["name"])
			}
			if c := v.PersistentVolumeClaim; c != nil && !slices.Contains(all["PersistentVolumeClaim/"+c["claimName"]].Spec.AccessModes, "ReadWriteMany") {
				t.Errorf("%s: no claim %s that many may write to", name, c["claimName"])
			}
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if !slices.Contains(volumes, m.Name) {
				t.Errorf("%s: %s is mounted and no volume", name, m.Name)
			}
		}
		if pod.SecurityContext["runAsNonRoot"] != true || pod.Containers[0].SecurityContext["readOnlyRootFilesystem"] != true {
			t.Errorf("%s: runs with more rights than it needs", name)
		}
	}
	for _, r := range all["Job/chordsim-sweep"].Spec.PodFailurePolicy.Rules {
		if r.Action == "FailJob" && !slices.Equal(r.OnExitCodes.Values, []int{cli.ExitUsage, cli.ExitPrecondition}) {
			t.Errorf("the Job ends at exit codes %v", r.OnExitCodes.Values)
		}
	}
}

// TestKubernetesShards runs the arguments of the Job's pods, as far as they are checked before the first step: the shards are as many as
// the pods, and the scenario and its grid are valid. Then it runs the arguments of the merge.
func TestKubernetesShards(t *testing.T) {
	all := manifests(t)
	job := all["Job/chordsim-sweep"].Spec
	if job.CompletionMode != "Indexed" || job.Completions < 2 || job.Parallelism != job.Completions || job.BackoffLimitPerIndex == nil {
		t.Fatalf("got %+v", job)
	}
	pod := job.Template.Spec.Containers[0]
	if len(pod.Env) != 1 || pod.Env[0].ValueFrom.FieldRef.FieldPath != "metadata.annotations['batch.kubernetes.io/job-completion-index']" {
		t.Errorf("the environment is %+v", pod.Env)
	}
	t.Chdir(t.TempDir())
	text := all["ConfigMap/chordsim-scenario"].Data["scenario.yaml"]
	if _, err := sim.ParseScenario("scenario.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	write(t, "scenario.yaml", text)
	local := strings.NewReplacer("/scenario/", "", "/results/", "")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	w := newWorld()
	for index := range job.Completions {
		var args []string
		for _, arg := range pod.Args {
			args = append(args, local.Replace(strings.ReplaceAll(arg, "$("+pod.Env[0].Name+")", fmt.Sprint(index))))
		}
		if got := w.chordsim(over, args...); got != cli.ExitInterrupted {
			t.Fatalf("%v: exit code %d, want %d: %s", args, got, cli.ExitInterrupted, w.err.String())
		}
		if _, err := os.Stat(fmt.Sprintf("parts/shard-%05d-of-%05d/params.json", index, job.Completions)); err != nil {
			t.Errorf("shard %d of %d: %v", index, job.Completions, err)
		}
	}
	var merge []string
	for _, arg := range all["Job/chordsim-merge"].Spec.Template.Spec.Containers[0].Args {
		merge = append(merge, local.Replace(arg))
	}
	w.must(t, cli.ExitPrecondition, merge...)
	if got := w.err.String(); strings.Count(got, "not finished") != job.Completions {
		t.Errorf("merge says %s, want all %d shards to be unfinished", got, job.Completions)
	}
}
