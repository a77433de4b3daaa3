# SPDX-License-Identifier: MIT
# The bad network: a bridge that treats frames badly, and what Millrace makes of it (docs/badnet.md).

IMPAIR      := $(B)/badnet/mr-impair
BADNET      := $(patsubst %.c,$(B)/%,$(wildcard tests/badnet/*_test.c))
BADNET_PURE := tests/badnet/fate.c tests/badnet/mangle.c tests/badnet/link.c
TEST_PROGRAMS += $(BADNET)
test-programs: $(IMPAIR)

$(IMPAIR): $(call obj,$(BADNET_PURE) tests/badnet/options.c tests/badnet/impair.c)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -lm

$(BADNET): $(B)/tests/%: $(B)/asan/tests/%.o $(call asan,$(BADNET_PURE))
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SAN) -o $@ $(filter %.o,$^) -lcmocka -lm

# The whole grid, about an hour and a half; goes on where an earlier run of the same tree stopped.
.PHONY: badnet
badnet: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) all $(IMPAIR)
	$(Q)MR_BUILD=$(abspath $(B)) $(PYTHON) tests/badnet/grid.py
