// Debian's OctoMap as a contender of the mapping benchmark: a tree that obeys commands on stdin.
//
// usage: octomap_insert RESOLUTION MAX_RANGE DISCRETIZE HIT MISS MIN MAX
// Commands are one byte; numbers are little-endian, as the host has them:
//   'i' uint64 N, float32 origin[3], float32 points[N][3]: insert a scan; answers int64 wall ns, CPU ns
//   'm' answers uint64 memoryUsage(), uint64 bytes that the nodes really take from the heap
//   'w' answers uint64 length and the .ot file
//   'c' forget the map; answers nothing
#include <malloc.h>
#include <octomap/octomap.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

bool receive(void* data, std::size_t size) { return std::fread(data, 1, size, stdin) == size; }

void send(const void* data, std::size_t size) {
  if (std::fwrite(data, 1, size, stdout) != size) std::exit(1);
  std::fflush(stdout);
}

std::uint64_t heap() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::int64_t cpu_ns() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) return 2;
  const double resolution = std::atof(argv[1]), max_range = std::atof(argv[2]);
  const bool discretize = std::atoi(argv[3]) != 0;
  std::unique_ptr<octomap::OcTree> tree;
  const auto clear = [&] {
    tree = std::make_unique<octomap::OcTree>(resolution);
    tree->setProbHit(std::atof(argv[4]));
    tree->setProbMiss(std::atof(argv[5]));
    tree->setClampingThresMin(std::atof(argv[6]));
    tree->setClampingThresMax(std::atof(argv[7]));
  };
  clear();
  std::vector<float> numbers;
  for (char command = 0; receive(&command, 1);) {
    if (command == 'i') {
      std::uint64_t count = 0;
      float origin[3];
      if (!receive(&count, sizeof count) || !receive(origin, sizeof origin)) return 1;
      numbers.resize(3 * count);
      if (!receive(numbers.data(), numbers.size() * sizeof(float))) return 1;
      octomap::Pointcloud cloud;
      cloud.reserve(count);
      for (std::size_t i = 0; i < numbers.size(); i += 3)
        cloud.push_back(numbers[i], numbers[i + 1], numbers[i + 2]);
      const octomap::point3d sensor(origin[0], origin[1], origin[2]);
      const auto start = std::chrono::steady_clock::now();
      const std::int64_t cpu_start = cpu_ns();
      tree->insertPointCloud(cloud, sensor, max_range, false, discretize);
      const std::int64_t cpu = cpu_ns() - cpu_start;
      const std::int64_t wall = std::chrono::duration_cast<std::chrono::nanoseconds>(
                                    std::chrono::steady_clock::now() - start)
                                    .count();
      const std::int64_t answer[2] = {wall, cpu};
      send(answer, sizeof answer);
    } else if (command == 'm') {
      // A copy tells the tree from what insertion left behind, an empty one its fixed part.
      const std::uint64_t start = heap();
      const auto copy = std::make_unique<octomap::OcTree>(*tree);
      const std::uint64_t middle = heap();
      const auto empty = std::make_unique<octomap::OcTree>(resolution);
      const std::uint64_t nodes = (middle - start) - (heap() - middle);
      const std::uint64_t answer[2] = {tree->memoryUsage(), nodes};
      send(answer, sizeof answer);
    } else if (command == 'w') {
      std::ostringstream file;
      tree->write(file);
      const std::string bytes = file.str();
      const std::uint64_t size = bytes.size();
      send(&size, sizeof size);
      send(bytes.data(), bytes.size());
    } else if (command == 'c') {
      clear();
    } else {
      return 2;
    }
  }
  return 0;
}
