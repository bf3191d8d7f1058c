// One violation of each kind that the purity check knows. The check must report every kind, or the core's clean bill means nothing.
#include <sys/socket.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <thread>

namespace llmcore::purity {

std::int64_t clock() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

unsigned randomness() { return std::random_device{}(); }

int socket() { return ::socket(AF_INET, SOCK_STREAM, 0); }

bool file(const char* path) { return std::ifstream(path).good(); }

void thread() {
  std::thread([] {}).join();
}

void stream() { std::cout << "printed"; }

const char* environment() { return std::getenv("HOME"); }

double decimal_point(const char* text) { return std::strtod(text, nullptr); }

}  // namespace llmcore::purity
