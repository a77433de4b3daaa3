# Millrace. `make` builds into build/, `make demo` shows the main job, `make test` runs what CI
# runs. V=1 shows the commands; DESTDIR and PREFIX as usual.

CC      ?= gcc
CLANG   ?= clang
PREFIX  ?= /usr/local
PYTHON  ?= /usr/bin/python3
ARCH    := $(shell uname -m)
B       := build

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

CFLAGS  ?= -O2 -g
# The lane's small functions stand in many files: gcc sees them together at link time.
INLINE  := -finline-functions -fipa-cp-clone $(addprefix --param ,inline-unit-growth=400 \
	max-inline-insns-auto=200 max-inline-insns-single=1000 large-function-growth=1000 \
	large-stack-frame-growth=10000)
LTO     ?= $(if $(findstring clang,$(CC)),,-flto=auto $(INLINE))
WARN    := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARN) $(CPPFLAGS) $(CFLAGS) -fno-strict-aliasing -Iinclude -I. -MMD -MP
SAN     := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

# ----- what is made of what (include directions: scripts/check-includes.sh) -----

LANE_DIRS := wire frame tcp tlv port attach lane apps
obj     = $(patsubst %.c,$(B)/obj/%.o,$(wildcard $(1)))
asan    = $(patsubst %.c,$(B)/asan/%.o,$(wildcard $(1)))

LANE_OBJ   := $(foreach d,$(LANE_DIRS),$(call obj,user/$(d)/*.c))
WORKER_OBJ := $(call obj,user/worker/*.c)
DAEMON_OBJ := $(call obj,user/daemon/*.c user/nft/*.c)
CLI_OBJ    := $(call obj,user/cli/*.c user/nft/*.c) $(call obj,user/wire/pcapng.c)
# the daemon opens sockets and arenas, no more of the lane than that
DAEMON_LANE_OBJ := $(call obj,user/port/xsk*.c) $(call obj,user/frame/arena.c)

WORKER_LIBS := -lseccomp
DAEMON_LIBS := -lnftables -lxdp -lbpf -lelf -lz -lcyaml -lyaml -ljansson -lmicrohttpd -lmnl -lseccomp \
	-lsystemd
CLI_LIBS    := -lnftables -lcurl -lyaml -ljansson -lmnl -lbpf -lncursesw -ltinfo -larchive -lpcap

# The library for programs. Backend "wire" has whole lanes in it and is for tests alone.
LIB_OBJ     := $(patsubst %.c,$(B)/lib/%.o,$(filter-out user/api/wire%,$(wildcard user/api/*.c)) \
	$(wildcard user/attach/*.c user/tlv/*.c))
LIB_MAP     := user/api/libmillrace.map
LIB_VERSION := $(shell sed -n 's/.*MR_VERSION "\(.*\)"/\1/p' user/daemon/daemon.h)
LIB         := $(B)/libmillrace.so $(B)/libmillrace.a $(B)/libmillrace-tls.so
# In a file of its own, so that only who speaks TLS needs OpenSSL.
TLS_OBJ     := $(patsubst %.c,$(B)/lib/%.o,$(wildcard user/tls/*.c))
TLS_MAP     := user/tls/libmillrace-tls.map

PROGRAMS := $(B)/millraced $(B)/millrace-worker $(B)/millrace $(B)/millrace.bpf.o
MAN      := $(B)/man/millrace-maps.7 $(B)/man/millrace-tlv.5
BENCH    := $(addprefix $(B)/bench/,mr-load mr-bench-wire mr-bench-xdp mr-bench-scale \
	mr-bench-wake mr-bench-conns epoll-echo epoll-bulk uring-echo xsk-reflect)
BPF_OBJ  := $(B)/millrace.bpf.o $(addprefix $(B)/bench/,parse_pass.bpf.o pass.bpf.o steer.bpf.o)

EXAMPLES := $(patsubst %.c,$(B)/%,$(filter-out %/common.c,$(wildcard examples/*.c)))

.PHONY: all programs
all: programs $(BENCH) $(BPF_OBJ) $(EXAMPLES)

programs: $(PROGRAMS) $(LIB) $(MAN)

# manual pages that docs/ has as Markdown
$(B)/man/millrace-maps.7: ABOUT = BPF maps of the packet fast path
$(B)/man/millrace-tlv.5: ABOUT = message format of the packet fast path
$(MAN): $(B)/man/%: scripts/man.py docs/millraced.8
	$(say) MAN $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PYTHON) scripts/man.py $(basename $*) $(subst .,,$(suffix $*)) '$(ABOUT)' <$(filter %.md,$^) >$@.tmp && mv $@.tmp $@
$(B)/man/millrace-maps.7: docs/maps.md
$(B)/man/millrace-tlv.5: docs/tlv.md

$(B)/millraced: $(DAEMON_OBJ) $(DAEMON_LANE_OBJ)
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS)

$(B)/millrace-worker: $(WORKER_OBJ) $(LANE_OBJ)
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LTO) $(LDFLAGS) -o $@ $(filter %.o,$^) $(WORKER_LIBS)

$(B)/millrace: $(CLI_OBJ)
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLI_LIBS)

# The file has the release in its name, the name that programs look for has the ABI.
$(B)/libmillrace.so.$(LIB_VERSION): $(LIB_OBJ) $(LIB_MAP)
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -pthread -Wl,-soname,libmillrace.so.1 -Wl,-z,defs \
		-Wl,-Bsymbolic-functions -Wl,--version-script=$(LIB_MAP) -o $@ $(filter %.o,$^)

$(B)/libmillrace.so: $(B)/libmillrace.so.$(LIB_VERSION)
	$(Q)ln -sf $(<F) $(B)/libmillrace.so.1
	$(Q)ln -sf libmillrace.so.1 $@

$(B)/libmillrace-tls.so.$(LIB_VERSION): $(TLS_OBJ) $(TLS_MAP) $(B)/libmillrace.so
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libmillrace-tls.so.1 -Wl,-z,defs \
		-Wl,-Bsymbolic-functions -Wl,--version-script=$(TLS_MAP) -o $@ $(filter %.o,$^) \
		-L$(B) -lmillrace -lssl -lcrypto

$(B)/libmillrace-tls.so: $(B)/libmillrace-tls.so.$(LIB_VERSION)
	$(Q)ln -sf $(<F) $(B)/libmillrace-tls.so.1
	$(Q)ln -sf libmillrace-tls.so.1 $@

# One object: whoever links it has all backends, and sees the same functions as in the shared one.
$(B)/libmillrace.a: $(LIB_OBJ) $(LIB_MAP)
	$(say) AR $@
	$(Q)$(LD) -r -o $(B)/lib/whole.o $(filter %.o,$^)
	$(Q)sed -n 's/^\t\(mr_.*\);/\1/p' $(LIB_MAP) >$(B)/lib/public
	$(Q)objcopy --keep-global-symbols=$(B)/lib/public $(B)/lib/whole.o $(B)/lib/libmillrace.o
	$(Q)rm -f $@ && $(AR) rcsD $@ $(B)/lib/libmillrace.o

$(B)/lib/%.o: %.c Makefile
	$(say) LIB $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -c $< -o $@

$(B)/examples/tls_server: $(TLS_OBJ)
$(B)/examples/tls_server: EXAMPLE_LIBS = -lssl -lcrypto
$(EXAMPLES): $(B)/examples/%: $(B)/obj/examples/%.o $(B)/obj/examples/common.o $(B)/libmillrace.a
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $(filter %.o %.a,$^) $(EXAMPLE_LIBS)

$(B)/millrace.bpf.o: bpf/millrace.bpf.c
$(B)/bench/parse_pass.bpf.o: bench/peers/parse_pass.bpf.c
$(B)/bench/pass.bpf.o $(B)/bench/steer.bpf.o: $(B)/bench/%.bpf.o: bench/bpf/%.bpf.c
$(BPF_OBJ):
	$(say) BPF $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -g -O2 -Wall -Werror -fno-strict-aliasing -mcpu=v3 -target bpf \
		-Iinclude -Ivmlinux/$(ARCH) -Ibpf -I. \
		-MMD -MP -MF $(@:.o=.d) -MT $@ -c $(filter %.bpf.c,$^) -o $@.tmp && mv $@.tmp $@

$(B)/bench/%.skel.h: $(B)/bench/%.bpf.o
	$(say) SKEL $@
	$(Q)bpftool gen skeleton $< >$@.tmp && mv $@.tmp $@

$(B)/obj/bench/xsk.o: $(B)/bench/steer.skel.h
$(B)/obj/bench/xsk.o: ALL_CFLAGS += -I$(B)/bench

$(B)/bench/mr-load: $(call obj,bench/load/*.c) $(B)/obj/bench/xsk.o $(LANE_OBJ)
$(B)/bench/xsk-reflect: $(B)/obj/bench/peers/xsk_reflect.o $(B)/obj/bench/xsk.o $(call obj,user/port/xsk*.c)
$(B)/bench/mr-load $(B)/bench/xsk-reflect: BENCH_LIBS = -lbpf -lelf -lz
$(B)/bench/epoll-echo: $(B)/obj/bench/peers/epoll_echo.o
$(B)/bench/epoll-bulk: $(B)/obj/bench/peers/epoll_bulk.o
$(B)/bench/uring-echo: $(B)/obj/bench/peers/uring_echo.o
$(B)/bench/uring-echo: BENCH_LIBS = -luring
$(B)/bench/mr-bench-wire: $(B)/obj/bench/wire.o $(B)/obj/tests/lane/pair.o $(LANE_OBJ)
$(B)/bench/mr-bench-scale: $(B)/obj/bench/scale.o $(B)/obj/tests/lane/pair.o $(LANE_OBJ)
$(B)/bench/mr-bench-wake: $(B)/obj/bench/wake.o
$(B)/bench/mr-bench-conns: $(B)/obj/bench/conns.o $(filter-out %/main.o,$(DAEMON_OBJ)) $(DAEMON_LANE_OBJ)
$(B)/bench/mr-bench-conns: BENCH_LIBS = $(DAEMON_LIBS)
$(B)/bench/mr-bench-xdp: $(B)/obj/bench/xdp.o $(patsubst %,$(B)/obj/tests/bpf/%.o,fixture frames run)
$(B)/bench/mr-bench-xdp: BENCH_LIBS = -lbpf -lcmocka
$(BENCH):
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LTO) $(LDFLAGS) -o $@ $(filter %.o,$^) -lm $(BENCH_LIBS)

$(LANE_OBJ) $(WORKER_OBJ) $(call obj,bench/load/*.c) $(B)/obj/bench/wire.o $(B)/obj/bench/scale.o $(B)/obj/tests/lane/pair.o: ALL_CFLAGS += $(if $(LTO),$(LTO) -ffat-lto-objects)

# the page is part of the program that serves it
$(B)/obj/user/daemon/web.o $(B)/asan/user/daemon/web.o $(B)/fuzz/obj/user/daemon/web.o: user/daemon/web.html

$(B)/obj/%.o: %.c Makefile
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

$(B)/asan/%.o: %.c Makefile
	$(say) ASAN $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SAN) -c $< -o $@

# ----- tests -----

ASAN_LANE := $(foreach d,$(LANE_DIRS),$(call asan,user/$(d)/*.c))
UNIT   := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*_test.c tests/lane/*_test.c))
APPS   := $(patsubst %.c,$(B)/%,$(wildcard tests/apps/*_test.c))
DAEMON := $(patsubst %.c,$(B)/%,$(wildcard tests/daemon/*_test.c))
BPF    := $(patsubst %.c,$(B)/%,$(wildcard tests/bpf/*_test.c))
TEST_PROGRAMS := $(UNIT) $(APPS) $(DAEMON) $(BPF)
UNIT_HELP := $(call asan,$(filter-out %_test.c,$(wildcard tests/unit/*.c tests/lane/*.c)))
APPS_HELP := $(call asan,$(filter-out %_test.c,$(wildcard tests/apps/*.c)))
BPF_HELP  := $(call asan,$(filter-out %_test.c,$(wildcard tests/bpf/*.c)))
ASAN_DAEMON := $(filter-out %/main.o,$(call asan,user/daemon/*.c)) \
	$(call asan,user/nft/*.c) $(call asan,user/port/xsk*.c) $(call asan,user/frame/arena.c)

$(B)/tests/unit/tcp_predict_test: LINK_FLAGS = -Wl,--wrap=mr_tcp_predict -Wl,--wrap=mr_tcp_answer
$(B)/tests/lane/lane_usual_test: LINK_FLAGS = -Wl,--wrap=lane_usual_arrives -Wl,--wrap=mr_tcp_answer
$(UNIT): $(B)/tests/%: $(B)/asan/tests/%.o $(UNIT_HELP) $(ASAN_LANE)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SAN) -o $@ $(filter %.o,$^) $(LINK_FLAGS) -lcmocka -lbpf

$(APPS): $(B)/tests/%: $(B)/asan/tests/%.o $(APPS_HELP) $(call asan,user/apps/*.c) $(call asan,user/tlv/*.c)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SAN) -o $@ $(filter %.o,$^) -lcmocka

$(B)/tests/daemon/changes_test: LINK_FLAGS = -Wl,--wrap=mr_api_reply
$(B)/tests/daemon/waits_test: LINK_FLAGS = $(foreach f,mr_api_reply mr_child_ask mr_client_of MHD_suspend_connection \
	MHD_resume_connection MHD_run MHD_lookup_connection_value,-Wl,--wrap=$(f))
$(B)/tests/daemon/log_test: LINK_FLAGS = -Wl,--wrap=clock_gettime
$(B)/tests/daemon/maps_test: LINK_FLAGS = -Wl,--wrap=bpf_map_update_elem
$(B)/tests/daemon/traces_test: LINK_FLAGS = -Wl,--wrap=pread
$(B)/tests/daemon/traces_test: $(call asan,tests/daemon/traces_writer.c) $(ASAN_LANE)
$(B)/tests/daemon/metrics_test: $(call asan,tests/fuzz/control.c tests/fuzz/fuzz.c)
$(B)/tests/daemon/confine_test: $(call asan,user/worker/confine.c)
$(B)/tests/daemon/generation_test: $(call asan,tests/bpf/fixture.c tests/bpf/frames.c tests/bpf/run.c)
$(DAEMON): $(B)/tests/%: $(B)/asan/tests/%.o $(ASAN_DAEMON)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SAN) -o $@ $(filter %.o,$^) $(LINK_FLAGS) -lcmocka $(DAEMON_LIBS)

# holds the program's cookies against the lane's
$(B)/tests/bpf/xdp_cookie_test: $(B)/asan/tests/unit/rfc_fixture.o $(ASAN_LANE)
$(BPF): $(B)/tests/%: $(B)/asan/tests/%.o $(BPF_HELP)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SAN) -o $@ $(filter %.o,$^) -lcmocka -lbpf

.PHONY: test test-programs check deps demo demo-up demo-down bench bench-10m bench-record install uninstall deb vm vm-shell clean format
.SECONDARY:

# a folder of tests brings its own rules
include $(wildcard tests/*/build.mk)

test-programs: all $(TEST_PROGRAMS)

# Deps first, in a make of its own: the build needs them.
test:
	$(Q)scripts/install-deps.sh test
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) test-programs
	$(Q)$(PYTHON) tests/run.py

# What a reviewer's eye should not have to find.
check:
	$(Q)scripts/check.sh

format:
	$(Q)scripts/check.sh format-fix

deps:
	$(Q)scripts/install-deps.sh

demo demo-up: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) all
	$(Q)scripts/demo.sh $(if $(filter demo-up,$@),up,run)

demo-down:
	$(Q)scripts/demo.sh down

bench: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) all
	$(Q)$(PYTHON) bench/run.py

bench-%: all
	$(Q)$(PYTHON) bench/run.py $*

# Needs 6 GiB and some minutes.
BENCH_10M_CONNECTIONS ?= 10000000
bench-10m: all
	$(Q)$(B)/bench/mr-bench-scale --connections $(BENCH_10M_CONNECTIONS)

# The instructions that tests/bench holds the echo path to: to be changed on purpose.
bench-record: all
	$(Q)MR_BUILD=$(abspath $(B)) $(PYTHON) bench/instructions.py --record

# What is installed stands in scripts/install.sh, for both. DESTDIR, PREFIX, SYSCONFDIR, SYSTEMD_DIR.
install: programs
	$(Q)B='$(B)' DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/install.sh install

uninstall:
	$(Q)DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/install.sh uninstall

# A Debian package in build/deb/, from a copy of this tree.
deb: deps
	$(Q)scripts/deb.sh

# The build on other kernels, in emulated machines (docs/kernels.md); KERNEL=6.12 for one of them.
vm:
	$(Q)scripts/install-deps.sh
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) test-programs
	$(Q)scripts/vm.sh run $(KERNEL)

vm-shell: test-programs
	$(Q)scripts/vm.sh shell $(KERNEL)

clean:
	rm -rf $(B)

-include $(shell find $(B) -path '$(B)/deb*' -prune -o -type f -name '*.d' -print 2>/dev/null)
