# Fuzz targets: tests/fuzz/NAME_fuzz.c becomes $(B)/fuzz/NAME, by clang with libFuzzer, ASan and
# UBSan. Where clang has no libFuzzer they are not built, and the tests are skipped.

FUZZ_SECONDS ?= 60
FUZZ_SAN := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
fuzz_obj = $(patsubst %.c,$(B)/fuzz/obj/%.o,$(wildcard $(1)))
FUZZ_PROGRAMS := $(patsubst tests/fuzz/%_fuzz.c,$(B)/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_HELP   := $(call fuzz_obj,tests/fuzz/fuzz.c tests/fuzz/frame.c)
FUZZ_LANE   := $(foreach d,$(LANE_DIRS),$(call fuzz_obj,user/$(d)/*.c))
FUZZ_DAEMON := $(filter-out %/main.o,$(call fuzz_obj,user/daemon/*.c)) \
	$(call fuzz_obj,user/nft/*.c) $(call fuzz_obj,user/port/xsk*.c) $(call fuzz_obj,user/frame/arena.c)
FUZZ_PLAY   := $(call fuzz_obj,tests/fuzz/net.c tests/fuzz/play.c)
# what a target must not do to the machine that it runs on, it is told about instead
fuzz_wrap = $(foreach f,$(1),-Wl,--wrap=$(f))

$(B)/fuzz/wire: $(call fuzz_obj,user/wire/*.c)
$(B)/fuzz/tlv: $(call fuzz_obj,user/tlv/*.c)
$(B)/fuzz/drill: $(call fuzz_obj,user/apps/*.c user/tlv/*.c tests/apps/fake_host.c)
$(B)/fuzz/drill: FUZZ_LIBS := -lcmocka
$(B)/fuzz/lane $(B)/fuzz/mailbox: $(FUZZ_PLAY) $(FUZZ_LANE)
$(B)/fuzz/stream: $(call fuzz_obj,tests/fuzz/net.c) $(FUZZ_LANE)
$(B)/fuzz/worker: $(FUZZ_PLAY) $(FUZZ_LANE) $(filter-out %/main.o,$(call fuzz_obj,user/worker/*.c))
$(B)/fuzz/worker: FUZZ_LIBS := -lseccomp
$(B)/fuzz/config $(B)/fuzz/arena $(B)/fuzz/api $(B)/fuzz/daemon: $(FUZZ_DAEMON)
$(B)/fuzz/config $(B)/fuzz/arena $(B)/fuzz/api $(B)/fuzz/daemon: FUZZ_LIBS := $(DAEMON_LIBS)
$(B)/fuzz/arena $(B)/fuzz/api $(B)/fuzz/daemon: $(call fuzz_obj,tests/fuzz/control.c)
$(B)/fuzz/daemon: FUZZ_LIBS += $(call fuzz_wrap,kill mr_worker_spawn mr_bpf_local \
	mr_links_has_address mr_dynamic_open mr_dynamic_close mr_leftovers_note mr_paths_ask \
	mr_neighbour_allowed mr_neighbour_resolve mr_log)

$(FUZZ_PROGRAMS): $(B)/fuzz/%: $(B)/fuzz/obj/tests/fuzz/%_fuzz.o $(FUZZ_HELP)
	$(say) LINK $@
	$(Q)$(CLANG) $(FUZZ_SAN) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(FUZZ_LIBS) -lbpf

$(B)/fuzz/obj/%.o: %.c Makefile tests/fuzz/build.mk
	$(say) FUZZ $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(filter-out -flto%,$(ALL_CFLAGS)) $(FUZZ_SAN) -fsanitize=fuzzer-no-link \
		-c $< -o $@

TEST_PROGRAMS += $(if $(wildcard $(shell $(CLANG) -print-runtime-dir 2>/dev/null)/libclang_rt.fuzzer-*),$(FUZZ_PROGRAMS))

.PHONY: fuzz fuzz-programs
fuzz-programs: $(FUZZ_PROGRAMS)

# Every target for FUZZ_SECONDS, two at a time; stops at the first that fails.
fuzz: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) fuzz-programs
	$(Q)$(PYTHON) tests/fuzz/run.py --seconds $(FUZZ_SECONDS) $(B)/fuzz
