# Everything else is a go command: see CONTRIBUTING.md.

# All experiments of the papers in full size, into docs/data. It takes hours; after an interruption it goes on where it stopped, and
# what is finished is run again only when the code has changed.
.PHONY: experiments
experiments: bin/chordsim
	bin/chordsim experiment --all --out docs/data

# Not on every call: a program that is built in a changed tree counts as another one, and results of another one are outdated.
bin/chordsim: $(wildcard $(shell git ls-files "*.go" "*.tmpl" "*.yaml" go.mod go.sum))
	go build -o $@ ./cmd/chordsim
