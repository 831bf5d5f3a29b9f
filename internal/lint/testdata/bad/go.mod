module example.com/bad

go 1.26.0

require github.com/rs/zerolog v0.0.0

replace github.com/rs/zerolog => ./zerolog
