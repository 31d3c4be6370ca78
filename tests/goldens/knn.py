"""Regenerates knn.json: DINO's weighted k-NN classifier (facebookresearch/dino, eval_knn.py, `knn_classifier`)."""

import json

import torch
from torch import nn

from make import HERE, uniform

TRAIN, TEST, WIDTH, CLASSES = 60, 12, 8, 5


def tensor(name, *shape):
    return torch.tensor(uniform(name, torch.Size(shape).numel()), dtype=torch.float32).reshape(shape) - 0.5


def votes(k, temperature):
    train_features = nn.functional.normalize(tensor("train", TRAIN, WIDTH), dim=1, p=2).t()
    test_features = nn.functional.normalize(tensor("test", TEST, WIDTH), dim=1, p=2)
    train_labels = torch.arange(TRAIN) * 7 % CLASSES
    # From here on as there.
    retrieval_one_hot = torch.zeros(k, CLASSES)
    batch_size = test_features.shape[0]
    similarity = torch.mm(test_features, train_features)
    distances, indices = similarity.topk(k, largest=True, sorted=True)
    candidates = train_labels.view(1, -1).expand(batch_size, -1)
    retrieved_neighbors = torch.gather(candidates, 1, indices)
    retrieval_one_hot.resize_(batch_size * k, CLASSES).zero_()
    retrieval_one_hot.scatter_(1, retrieved_neighbors.view(-1, 1), 1)
    distances_transform = distances.clone().div_(temperature).exp_()
    probs = torch.sum(
        torch.mul(
            retrieval_one_hot.view(batch_size, -1, CLASSES),
            distances_transform.view(batch_size, -1, 1),
        ),
        1,
    )
    # A share of all votes, which keeps the order.
    return (probs / probs.sum(1, keepdim=True)).flatten().tolist()


if __name__ == "__main__":
    rows = [{"k": k, "temperature": t, "votes": votes(k, t)} for k, t in [(20, 0.07), (3, 1.0)]]
    (HERE / "knn.json").write_text(json.dumps(rows) + "\n")
