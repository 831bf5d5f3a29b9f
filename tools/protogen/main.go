package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// protoDir is relative to tools/, where `go -C tools run` starts the program.
const protoDir = "../proto"

func main() {
	check := flag.Bool("check", false, "write nothing, fail if a generated file is not up to date")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	generated, err := generateAll()
	if err != nil {
		return err
	}
	stale, err := outdated(generated)
	if err != nil {
		return err
	}
	if check {
		if len(stale) > 0 {
			return fmt.Errorf("not up to date: %s; run `go -C tools run ./protogen`", strings.Join(stale, ", "))
		}
		return nil
	}
	for _, name := range stale {
		path := filepath.Join(protoDir, name)
		if content, ok := generated[name]; !ok {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// outdated returns, sorted, the generated files that are missing or have another content, and those that no .proto stands for any more.
func outdated(generated map[string]string) ([]string, error) {
	present, err := files("*.pb.go")
	if err != nil {
		return nil, err
	}
	var names []string
	for name, content := range generated {
		have, err := os.ReadFile(filepath.Join(protoDir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err != nil || string(have) != content {
			names = append(names, name)
		}
	}
	for _, name := range present {
		if _, ok := generated[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// files returns the files of the wire package that match a pattern, by their paths below protoDir.
func files(pattern string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(protoDir, "chord", "v1", pattern))
	if err != nil {
		return nil, err
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		rel, err := filepath.Rel(protoDir, p)
		if err != nil {
			return nil, err
		}
		names[i] = filepath.ToSlash(rel)
	}
	return names, nil
}

// generateAll returns the content of every generated file, by its path below protoDir.
func generateAll() (map[string]string, error) {
	names, err := files("*.proto")
	if err != nil {
		return nil, err
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{protoDir}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	generated := make(map[string]string)
	for _, plugin := range []struct{ name, parameter string }{
		{"protoc-gen-go", "paths=source_relative"},
		{"protoc-gen-go-grpc", "paths=source_relative"},
		{"protoc-gen-go-vtproto", "paths=source_relative,features=marshal+unmarshal+size"},
	} {
		out, err := generate(plugin.name, plugin.parameter, names, compiled)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plugin.name, err)
		}
		for _, f := range out {
			generated[f.GetName()] = f.GetContent()
		}
	}
	return generated, nil
}

// generate runs one plugin over the files.
func generate(plugin, parameter string, names []string, compiled linker.Files) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	in, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		Parameter:      proto.String(parameter),
		ProtoFile:      withImports(compiled),
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "tool", plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return nil, err
	}
	if resp.Error != nil {
		return nil, errors.New(resp.GetError())
	}
	return resp.File, nil
}

// withImports returns the files and all that they import, each after its imports, as plugins demand.
func withImports(files linker.Files) []*descriptorpb.FileDescriptorProto {
	var all []*descriptorpb.FileDescriptorProto
	seen := make(map[string]bool)
	var add func(fd protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if seen[fd.Path()] {
			return
		}
		seen[fd.Path()] = true
		for i := range fd.Imports().Len() {
			add(fd.Imports().Get(i))
		}
		all = append(all, protoutil.ProtoFromFileDescriptor(fd))
	}
	for _, f := range files {
		add(f)
	}
	return all
}
