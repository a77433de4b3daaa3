# SPDX-License-Identifier: MIT
# The client of the examples' tests: kernel sockets, none of the library.
$(B)/examples-client: tests/examples/client.c Makefile
	$(say) CC $@
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $<

all: $(B)/examples-client
