# SPDX-License-Identifier: MIT
# The deterministic simulation (docs/simulation.md): optimised, under UBSan.
#   make sim [SIM_SEEDS=N] [SIM_FIRST=S] [SIM_JOBS=N], make sim SIM_SEED=S, make sim-mutants

SIM_SEEDS ?= 2000
SIM_FIRST ?= 1
SIM_JOBS  ?= 2
SIM_CFLAGS := -O2 -g -fsanitize=undefined -fno-sanitize-recover=undefined
SIM_LDFLAGS := -Wl,--wrap=mr_tcp_set_state -Wl,--wrap=mr_rtt_sample

simobj   = $(patsubst %.c,$(B)/simobj/%.o,$(wildcard $(1)))
SIM_LANE := $(foreach d,$(LANE_DIRS),$(call simobj,user/$(d)/*.c))
SIM_HELP := $(filter-out %_test.o %/main.o,$(call simobj,tests/sim/*.c))
SIM_TEST := $(patsubst %.c,$(B)/%,$(wildcard tests/sim/*_test.c))
TEST_PROGRAMS += $(SIM_TEST) $(B)/sim/mr-sim

$(B)/simobj/%.o: %.c Makefile tests/sim/build.mk
	$(say) SIM $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -O% -g,$(ALL_CFLAGS)) $(SIM_CFLAGS) -c $< -o $@

$(B)/sim/mr-sim: $(B)/simobj/tests/sim/main.o $(SIM_HELP) $(SIM_LANE)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SIM_CFLAGS) $(SIM_LDFLAGS) -o $@ $(filter %.o,$^)

$(SIM_TEST): $(B)/tests/sim/%: $(B)/simobj/tests/sim/%.o $(SIM_HELP) $(SIM_LANE)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SIM_CFLAGS) $(SIM_LDFLAGS) -o $@ $(filter %.o,$^) -lcmocka

.PHONY: sim sim-mutants
sim: $(B)/sim/mr-sim
ifdef SIM_SEED
	$(Q)$(B)/sim/mr-sim -s $(SIM_SEED) -d $(B)/sim
else
	$(Q)$(B)/sim/mr-sim -n $(SIM_SEEDS) -f $(SIM_FIRST) -j $(SIM_JOBS) -d $(B)/sim
endif

# Every deliberate fault must be found.
sim-mutants: $(B)/sim/mr-sim
	$(Q)SIM_BUILD=$(abspath $(B)) $(PYTHON) tests/sim/mutants.py
