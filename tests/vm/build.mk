# SPDX-License-Identifier: MIT
# What runs in the guests of scripts/vm.sh beside the build's own outputs.
VM_PROGRAMS := $(B)/vm/verifier
all: $(VM_PROGRAMS)

$(B)/vm/verifier: $(B)/obj/tests/vm/verifier.o
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lbpf -lelf -lz
