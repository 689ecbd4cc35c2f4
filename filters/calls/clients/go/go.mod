module tsfiltercalls

go 1.19
