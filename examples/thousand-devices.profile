; Devices that are described instead of measured: by the arithmetic that they do in a second, by what
; their memory carries, and by their link: latency in seconds, then bytes per second.  [device] is
; every device that has no section of its own.
[profile]
devices = 1000

[device]
gflops = 31
gbyte_s = 4
link = 0.0002 1.25e8

[device.0]
gflops = 60
gbyte_s = 10
link = 0.0002 3e8

[device.1]
gflops = 10
gbyte_s = 2
link = 0.002 1.25e7
