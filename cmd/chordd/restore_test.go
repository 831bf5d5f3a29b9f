package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chordkv/chord/internal/cli"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

func TestBackupAndRestore(t *testing.T) {
	dir := t.TempDir()
	d := startChild(t, alone(t, "--data", filepath.Join(dir, "data"))...)
	first := d.ready(t)
	put(t, first["advertise"], "hello", "world")
	admin := chordv1.NewAdminServiceClient(dial(t, hostPort(first["admin"])))
	backup, restored := filepath.Join(dir, "backup"), filepath.Join(dir, "restored")
	if r, err := admin.Backup(t.Context(), &chordv1.BackupRequest{Dir: backup}); err != nil || r.GetRecords() != 1 {
		t.Fatalf("backup: %v (%v)", r, err)
	}
	if _, err := admin.Backup(t.Context(), &chordv1.BackupRequest{Dir: backup}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a backup over another: %v", err)
	}
	put(t, first["advertise"], "hello", "again")
	d.stop(t)

	var out, errs bytes.Buffer
	restore := surroundings{args: []string{"restore", backup, restored}, stdout: &out, stderr: &errs}
	if code := run(t.Context(), restore); code != cli.ExitOK || !strings.Contains(out.String(), first["process"]) {
		t.Fatalf("restore: exit %d, %s%s", code, &out, &errs)
	}
	if code := run(t.Context(), restore); code != cli.ExitOther || !strings.Contains(errs.String(), "not empty") {
		t.Errorf("restore to where something is: exit %d, %s", code, &errs)
	}
	d = startChild(t, alone(t, "--data", restored)...)
	second := d.ready(t)
	wantValue(t, second["advertise"], "hello", "world")
	if second["process"] != first["process"] {
		t.Errorf("process %s, want %s", second["process"], first["process"])
	}
	d.stop(t)
}

func TestBackupOfMemory(t *testing.T) {
	d := startHere(t, alone(t, "--store", "memory")...)
	admin := chordv1.NewAdminServiceClient(dial(t, hostPort(d.ready(t)["admin"])))
	_, err := admin.Backup(t.Context(), &chordv1.BackupRequest{Dir: filepath.Join(t.TempDir(), "backup")})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "in memory") {
		t.Errorf("backup of a store in memory: %v", err)
	}
}
