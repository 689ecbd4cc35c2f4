module conformance

go 1.19

require tsfiltercalls v0.0.0

replace tsfiltercalls => ../../../../filters/calls/clients/go
