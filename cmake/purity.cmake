# Fails when an object of ARCHIVE asks the outside for a clock, randomness, a socket, a file, a thread, a stream, the environment or what
# depends on the host's locale.
#
#   cmake -D NM=nm -D ARCHIVE=libllmcore_core.a -P purity.cmake
#   ... -D KINDS=stream,locale    looks for these alone: what a library that does I/O leaves alone all the same
#   ... -D PLANTED=ON    ARCHIVE holds one violation of each kind; fails when any of them goes unseen
#
# Undefined symbols are demangled; C functions are matched whole, C++ ones by their beginning.
set(kinds clock randomness socket file thread stream environment locale)
if(KINDS)
  string(REPLACE "," ";" kinds "${KINDS}")
endif()

set(clock_c "clock|clock_gettime|gettimeofday|time|localtime|localtime_r|gmtime|gmtime_r|mktime|strftime|timespec_get|nanosleep|usleep|sleep")
set(clock_cxx "std::chrono::.*::now\\(|std::this_thread::")
set(randomness_c "rand|srand|rand_r|random|srandom|drand48|getrandom|getentropy|arc4random|arc4random_buf")
set(randomness_cxx "std::random_device")
set(socket_c "socket|connect|bind|listen|accept|accept4|send|sendto|sendmsg|recv|recvfrom|recvmsg|select|poll|epoll_wait|getaddrinfo")
set(socket_cxx "")
set(file_c "fopen|fopen64|fdopen|fread|fwrite|fclose|open|open64|openat|openat64|creat|read|write|pread|pwrite|close|rename|unlink|remove|mkdir|stat|fstat|mmap|fsync")
set(file_cxx "std::basic_(i|o)?fstream|std::basic_filebuf|std::filesystem::")
set(thread_c "pthread_.*|thrd_.*|mtx_.*|syscall|fork|vfork")
set(thread_cxx "std::thread|std::jthread|std::condition_variable|std::__condvar|std::mutex|std::__future_base|std::__atomic_futex|__gthread")
set(stream_c "printf|fprintf|vprintf|vfprintf|puts|putchar|fputs|fputc|putc|stdin|stdout|stderr|perror|syslog")
set(stream_cxx "std::cout|std::cerr|std::clog|std::cin|std::ios_base|std::(basic_)?[io]*stream|std::basic_[io]*stringstream|std::basic_streambuf|std::basic_ios|std::basic_stringbuf|std::__ostream_insert")
set(environment_c "getenv|secure_getenv|setenv|putenv|system|popen|execve|environ")
set(environment_cxx "")
# What reads or writes a decimal point or sorts letters as the host's locale has it.
set(locale_c "setlocale|localeconv|newlocale|uselocale|strtod|strtof|strtold|atof|s?n?printf|vs?n?printf|sscanf|strcoll|strxfrm|is(alpha|alnum|upper|lower|space|punct|print)|to(lower|upper)|__ctype_.*|mbs?r?towcs?|wcs?r?tombs?|strerror")
set(locale_cxx "std::locale|std::use_facet|std::ctype|std::numpunct|std::num_(get|put)|std::sto(d|f|ld)")

execute_process(COMMAND "${NM}" -C --undefined-only "${ARCHIVE}" OUTPUT_VARIABLE listing ERROR_VARIABLE complaint RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${NM} cannot read ${ARCHIVE}: ${complaint}")
endif()
# Semicolons and brackets would split or join the elements of a CMake list.
string(REGEX REPLACE "[][;]" "_" listing "${listing}")
string(REPLACE "\n" ";" lines "${listing}")

set(symbols 0)
set(found "")
set(object "")
foreach(line IN LISTS lines)
  if(line MATCHES "^(.+\\.o(bj)?):$")
    set(object "${CMAKE_MATCH_1}")
  elseif(line MATCHES "^ +[Uwv] (.+)$")
    math(EXPR symbols "${symbols} + 1")
    string(REGEX REPLACE "@.*$" "" symbol "${CMAKE_MATCH_1}")
    string(REGEX REPLACE "^__(.+)_chk$" "\\1" symbol "${symbol}")  # what a fortified build calls instead
    foreach(kind IN LISTS kinds)
      if(symbol MATCHES "^(${${kind}_c})$" OR (${kind}_cxx AND symbol MATCHES "^(${${kind}_cxx})"))
        list(APPEND found "  ${object} reaches outside (${kind}): ${symbol}")
        set(seen_${kind} TRUE)
      endif()
    endforeach()
  endif()
endforeach()

if(symbols EQUAL 0)
  message(FATAL_ERROR "${ARCHIVE} has no undefined symbol at all: this check would see nothing")
endif()
list(JOIN found "\n" report)
if(PLANTED)
  foreach(kind IN LISTS kinds)
    if(NOT seen_${kind})
      message(FATAL_ERROR "the planted ${kind} went unseen; seen:\n${report}")
    endif()
  endforeach()
elseif(found)
  message(FATAL_ERROR "${ARCHIVE} is not pure:\n${report}")
endif()
